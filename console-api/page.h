/*
 * page.h - the pages of this program: the API reference at the root.
 */
#ifndef CONSOLE_PAGE_H
#define CONSOLE_PAGE_H

#include "http/server.h"

/* Answers a GET or HEAD for a page or one of its files. False: it is none of them, nothing was sent. */
bool console_page(struct ar_http *http);

#endif
