/*
 * process.c - the process about itself: CPU, memory, descriptors, threads, start, from /proc.
 *
 * The names are Prometheus' own convention, so that ready-made boards and rules work. A number that
 * cannot be read is left out.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "observe/observe_int.h"

static size_t read_small(const char *path, char *out, size_t cap)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return 0;
	n = read(fd, out, cap);
	close(fd);
	return n < 0 ? 0 : (size_t)n;
}

/* The n-th field of /proc/self/stat, counted from 1; the second, in brackets, may hold anything. */
static bool stat_field(struct ar_str stat, int n, int64_t *ret)
{
	struct ar_str rest;
	size_t after = 0;

	for (size_t i = 0; i < stat.n; i++)
		if (stat.p[i] == ')')
			after = i + 2;
	rest = ar_str_sub(stat, after, stat.n);
	for (int i = 3; i < n && rest.p != NULL; i++)
		ar_str_cut(&rest, ' ');
	return rest.p != NULL && ar_str_int(ar_str_cut(&rest, ' '), ret);
}

static int64_t count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int64_t n = 0;

	if (dir == NULL)
		return -1;
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n - 3; /* ".", ".." and the one that looks */
}

/* Seconds since 1970 of the process's start, worked out once: boot time plus ticks since boot. */
static double start_time(int64_t start_ticks)
{
	struct timespec real, boot;
	double now, up;

	if (clock_gettime(CLOCK_REALTIME, &real) != 0 || clock_gettime(CLOCK_BOOTTIME, &boot) != 0)
		return 0;
	now = (double)real.tv_sec + (double)real.tv_nsec / 1e9;
	up = (double)boot.tv_sec + (double)boot.tv_nsec / 1e9;
	return now - up + (double)start_ticks / (double)sysconf(_SC_CLK_TCK);
}

static void collect_stat(struct ar_samples *samples)
{
	static double started; /* so that the number never moves by a tick */
	char text[1024];
	struct ar_str stat = ar_str_n(text, read_small("/proc/self/stat", text, sizeof(text)));
	int64_t threads, start, vsize, rss;

	if (!stat_field(stat, 20, &threads) || !stat_field(stat, 22, &start) ||
	    !stat_field(stat, 23, &vsize) || !stat_field(stat, 24, &rss))
		return;
	if (started == 0)
		started = start_time(start);
	ar_sample(samples, AR_GAUGE, "process_start_time_seconds",
		  "Start of the process, seconds since 1970.", started);
	ar_sample(samples, AR_GAUGE, "process_threads", "Threads of the process.", (double)threads);
	ar_sample(samples, AR_GAUGE, "process_virtual_memory_bytes", "Virtual memory.",
		  (double)vsize);
	ar_sample(samples, AR_GAUGE, "process_resident_memory_bytes", "Resident memory.",
		  (double)rss * (double)sysconf(_SC_PAGESIZE));
}

void ar_process_collect(struct ar_samples *samples)
{
	struct rusage usage;
	struct rlimit limit;
	int64_t fds = count_fds();

	if (getrusage(RUSAGE_SELF, &usage) == 0) {
		double user = (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6;
		double sys = (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6;

		ar_sample(samples, AR_COUNTER, "process_cpu_seconds_total",
			  "CPU time of user and system.", user + sys);
	}
	collect_stat(samples);
	if (fds >= 0)
		ar_sample(samples, AR_GAUGE, "process_open_fds", "Open file descriptors.",
			  (double)fds);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		ar_sample(samples, AR_GAUGE, "process_max_fds", "Limit of file descriptors.",
			  (double)limit.rlim_cur);
}
