/*
 * sandbox_attacks.h - the attack table: number, what it does, Lua, and what must come of it.
 *
 * CPU: sandbox/cpu-limit in time. MEM: sandbox/memory-limit. ABS: the code itself says true, that
 * the thing is not there. ERR: an ordinary Lua error that pcall catches, and the same executor
 * serves on (a new one after a stack overflow). ISO: `then` runs afterwards and must say true. OK:
 * it ends well and says true. Two outcomes stand only where the table itself allows either.
 */
#ifndef AR_SANDBOX_ATTACKS_H
#define AR_SANDBOX_ATTACKS_H

enum outcome { CPU = 1, MEM = 2, ABS = 4, ERR = 8, OK = 16, RESULT = 32, ISO = 64, KILLED = 128 };

struct attack {
	int row;
	const char *name, *body;
	int want;                         /* enum outcome, or several of which any will do */
	int memory_mib, soft_ms, hard_ms; /* 0: as by default */
	const char *then;                 /* ISO */
	const char *says;                 /* ERR: in the message */
};

#define LOOP "while true do end"

static const struct attack attacks[] = {
	{ 1, "while", LOOP, CPU },
	{ 2, "goto", "::a:: goto a", CPU },
	{ 3, "tail_recursion", "local function f() return f() end f()", CPU },
	{ 4, "loop_in_pcall", "while true do pcall(function() " LOOP " end) end", CPU },
	{ 4, "loop_in_nested_pcall",
	  "local function f() while true do pcall(pcall, f) end end "
	  "pcall(pcall, pcall, function() while true do pcall(function() " LOOP
	  " end) end end) f()",
	  CPU },
	{ 5, "loop_in_message_handler",
	  "xpcall(function() error('x') end, function() " LOOP " end)", CPU },
	{ 6, "loop_in_coroutine", "coroutine.wrap(function() " LOOP " end)()", CPU },
	{ 6, "loop_in_coroutine_in_coroutine",
	  "coroutine.wrap(function() coroutine.wrap(function() " LOOP " end)() end)()", CPU },
	{ 7, "ever_new_coroutines",
	  "while true do local co = coroutine.create(function() pcall(function() " LOOP
	  " end) end) coroutine.resume(co) end",
	  CPU },
	{ 8, "loop_in_close",
	  "local x <close> = setmetatable({}, {__close = function() " LOOP " end}) " LOOP, CPU },
	{ 8, "loop_in_close_of_coroutine",
	  "local co = coroutine.create(function() local x <close> = setmetatable({}, "
	  "{__close = function() " LOOP
	  " end}) coroutine.yield() end) coroutine.resume(co) coroutine.close(co)",
	  CPU },
	{ 9, "error_object_is_not_called", /* by the host, which says its type */
	  "error(setmetatable({}, {__name = 'evil', __tostring = function() " LOOP " end}))", ERR,
	  0, 0, 0, NULL, "(error object is a table value)" },
	{ 9, "error_object_of_a_coroutine_is_not_called",
	  "coroutine.wrap(function() error(setmetatable({}, {__tostring = function() " LOOP
	  " end})) end)()",
	  ERR, 0, 0, 0, NULL, "(error object is a table value)" },
	{ 9, "error_object_rendered_by_the_code",
	  "local _, e = pcall(error, setmetatable({}, {__tostring = function() " LOOP
	  " end})) return tostring(e)",
	  CPU },
	{ 9, "error_object_rendered_by_format",
	  "local _, e = pcall(error, setmetatable({}, {__tostring = function() " LOOP
	  " end})) return ('%s'):format(e)",
	  CPU },
	{ 9, "error_object_rendered_by_log",
	  "local _, e = pcall(error, setmetatable({}, {__tostring = function() " LOOP
	  " end})) log.error(e)",
	  CPU },
	{ 10, "print_that_loops", "print(setmetatable({}, {__tostring = function() " LOOP " end}))",
	  CPU },
	{ 11, "endless_pairs",
	  "for _ in pairs(setmetatable({}, {__pairs = function() "
	  "return function() return 1 end end})) do end",
	  CPU },
	{ 12, "endless_ipairs",
	  "for _ in ipairs(setmetatable({}, {__index = function() return 1 end})) do end", CPU },
	{ 13, "many_lazy_items", "(('a'):rep(2000)):find(('.-'):rep(40) .. 'b')", CPU },
	{ 13, "many_greedy_items", "(('a'):rep(2000)):find(('a*'):rep(40) .. 'b')", CPU },
	{ 13, "many_optional_items", "(('a'):rep(60)):find(('a?'):rep(60) .. ('a'):rep(60) .. 'b')",
	  CPU },
	{ 14, "four_lazy_items", "(('a'):rep(10000)):find('.-.-.-.-b')", CPU },
	{ 14, "the_same_by_match", "(('a'):rep(10000)):match('.-.-.-.-b')", CPU },
	{ 14, "the_same_by_gmatch", "for _ in (('a'):rep(10000)):gmatch('.-.-.-.-b') do end", CPU },
	{ 15, "quadratic_gsub", "(('a'):rep(200000)):gsub('.-b', '')", CPU },
	{ 16, "open_brackets", "(('('):rep(200000)):gsub('%b()', '')", CPU },
	{ 17, "captures", "(('a'):rep(300000)):find(('()'):rep(31) .. '.-b')", CPU },
	{ 18, "plain_find",
	  "local h, n = ('a'):rep(2^21), ('a'):rep(2^20 - 1) .. 'b' "
	  "while true do h:find(n, 1, true) end",
	  CPU },
	{ 19, "huge_move", "table.move({}, 1, 1 << 52, 2)", ERR },
	{ 20, "move_onto_itself", "table.move({}, 1, 1 << 40, 1)", ERR },
	{ 21, "insert_with_len",
	  "table.insert(setmetatable({}, {__len = function() return 1 << 40 end}), 1, 'x')", ERR },
	{ 22, "remove_with_len",
	  "table.remove(setmetatable({}, {__len = function() return 1 << 40 end}), 1)", ERR },
	{ 23, "compare_zero_bytes",
	  "local a = ('\\0'):rep(2^22) local b = a .. 'x' while true do local _ = a < b end", CPU },
	{ 24, "weak_tables",
	  "return not pcall(setmetatable, {}, {__mode = 'k'}) and "
	  "not pcall(collectgarbage) and not pcall(collectgarbage, 'collect')",
	  ABS },
	{ 24, "weak_tables_made_later",
	  "local mt, keep, k = {}, {}, {} for i = 1, 30000 do "
	  "local t, n = setmetatable({}, mt), {} t[k] = n keep[i], k = t, n end keep[1] = keep[1] "
	  "mt.__mode = 'k' local junk = {} while true do junk[#junk % 1000 + 1] = {{}} end",
	  CPU, 64, 100, 400 },
	{ 25, "rep_in_a_loop", "while true do local s = ('x'):rep(7000000) end", CPU },
	{ 26, "tonumber_in_a_loop",
	  "local s = ('z'):rep(5000000) while true do tonumber(s, 36) end", CPU },
	{ 27, "upper_in_a_loop", "local s = ('z'):rep(5000000) while true do s:upper() end", CPU },
	{ 28, "load_in_a_loop", "return load == nil and loadstring == nil", ABS },
	{ 29, "collect_in_a_loop",
	  "return not pcall(collectgarbage, 'collect') and not pcall(collectgarbage, 'step') and "
	  "collectgarbage('count') > 0",
	  ABS },
	{ 30, "sort_with_bad_order",
	  "local t = {} for i = 1, 100 do t[i] = i end table.sort(t, function() return true end)",
	  ERR },
	{ 31, "sort_of_proxy",
	  "table.sort(setmetatable({}, {__len = function() return 1 << 31 end}))", ERR },
	{ 31, "sort_with_range",
	  "local t = {} for i = 1, 1e6 do t[i] = i end "
	  "while true do table.sort(t, function(a, b) return a > b end) end",
	  CPU },
	{ 32, "concat_of_proxy",
	  "table.concat(setmetatable({}, {__index = function() return 'x' end, "
	  "__len = function() return 2^40 end}))",
	  CPU },
	{ 32, "concat_of_proxy_with_range",
	  "table.concat(setmetatable({}, {__index = function() return '' end}), '', 1, 1 << 40)",
	  CPU },
	{ 32, "concat_of_proxy_under_pcall",
	  "local t = setmetatable({}, {__index = function(_, i) return i end, "
	  "__len = function() return 1 << 40 end}) while true do pcall(table.concat, t) end",
	  CPU },
	{ 32, "concat_by_native_index",
	  "table.concat(setmetatable({}, {__index = math.type, __len = function() return 1 << 40 "
	  "end}), ',')",
	  ERR, 0, 0, 0, NULL, "invalid value (at index 1)" },
	{ 32, "concat_of_proxy_of_proxies",
	  "local t = setmetatable({}, {__len = function() return 1 << 40 end}) "
	  "getmetatable(t).__index = function() return table.concat(t) end table.concat(t)",
	  ERR, 0, 0, 0, NULL, "stack overflow" },
	{ 33, "endless_reader", "return load == nil", ABS },
	{ 34, "huge_rep", "return ('x'):rep(1 << 40)", ERR },
	{ 35, "rep_overflow", "return ('x'):rep(1 << 62, 'yyyy')", ERR },
	{ 36, "doubling", "local s = 'x' while true do s = s .. s end", MEM, 0, 3000, 6000 },
	{ 36, "doubling_under_pcall",
	  "while true do pcall(function() local s = 'x' while true do s = s .. s end end) end", MEM,
	  0, 3000, 6000 },
	{ 37, "array", "local t = {} for i = 1, 1e9 do t[i] = i end", MEM, 0, 3000, 6000 },
	{ 38, "hash", "local t = {} for i = 1, 1e9 do t['k' .. i] = i end", MEM, 0, 5000, 9000 },
	{ 39, "closures", "local t = {} for i = 1, 1e9 do t[i] = function() return i end end", MEM,
	  0, 5000, 9000 },
	{ 40, "coroutines", "local t = {} for i = 1, 1e9 do t[i] = coroutine.create(print) end",
	  MEM, 0, 5000, 9000 },
	{ 40, "nested_tables", "local t = {} while true do t = {t} end", MEM, 0, 5000, 9000 },
	{ 41, "concat_of_16_mb",
	  "local t, s = {}, ('x'):rep(2^20) for i = 1, 16 do t[i] = s .. i end "
	  "return #table.concat(t)",
	  MEM, 0, 3000, 6000 },
	{ 42, "format_of_15_mb",
	  "local s = ('x'):rep(5000000) return #string.format('%s%s%s', s, s, s)", MEM, 0, 3000,
	  6000 },
	{ 43, "gsub_a_thousandfold", "return #(('x'):rep(2^20):gsub('.', ('y'):rep(1000)))", MEM, 0,
	  3000, 6000 },
	{ 44, "unpack_a_million", "return select('#', table.unpack({}, 1, 1000000))", ERR },
	{ 44, "unpack_overflow", "return table.unpack({}, math.mininteger, math.maxinteger)", ERR },
	{ 45, "byte_900000", "return select('#', ('x'):rep(900000):byte(1, -1))", ERR },
	{ 45, "unpack_900000", "return select('#', table.unpack({}, 1, 900000))", ERR },
	{ 46, "pack_2_gb", "return #string.pack('c2147483647', 'x')", MEM | ERR, 0, 3000, 6000 },
	{ 47, "utf8_char_200000",
	  "local t = {} for i = 1, 200000 do t[i] = 65 end return #utf8.char(table.unpack(t))",
	  ERR },
	{ 47, "utf8_char_within",
	  "local t = {} for i = 1, 99999 do t[i] = 65 end "
	  "return #utf8.char(table.unpack(t)) == 99999",
	  OK, 0, 1000, 3000 },
	{ 49, "result_of_100_mb", "return ('x'):rep(100000000)", RESULT, 256, 10000, 20000 },
	{ 49, "result_of_a_million_keys",
	  "local t = {} for i = 1, 1e6 do t['k' .. i] = i end return t", RESULT, 256, 5000, 9000 },
	{ 49, "result_of_depth_10000", "local t = {} for i = 1, 10000 do t = {t} end return t",
	  RESULT },
	{ 50, "deep_recursion", "local function f() return 1 + f() end return f()", ERR | MEM, 0,
	  2000, 4000 },
	{ 51, "nested_pcall",
	  "local function f() local ok, e = pcall(f) if not ok then error(e, 0) end end f()", ERR },
	{ 52, "nested_gsub", "local function f() return (('x'):gsub('x', f)) end f()", ERR, 0, 0, 0,
	  NULL, "C stack overflow" },
	{ 52, "nested_sort", "local function f() table.sort({1, 2, 3}, f) end f()", ERR, 0, 0, 0,
	  NULL, "C stack overflow" },
	{ 53, "nested_wrap", "local function f() return coroutine.wrap(f)() end f()", ERR },
	{ 53, "nested_resume",
	  "local function f() local ok, e = coroutine.resume(coroutine.create(f)) "
	  "if not ok then error(e, 0) end end f()",
	  ERR },
	{ 54, "chain_of_close",
	  "local co for i = 1, 12000 do local prev = co co = coroutine.create(function() "
	  "local x <close> = setmetatable({}, {__close = function() "
	  "if prev then local ok, e = coroutine.close(prev) if not ok then error(e, 0) end end "
	  "end}) coroutine.yield() end) coroutine.resume(co) end "
	  "local ok, e = coroutine.close(co) if not ok then error(e, 0) end",
	  ERR, 128, 5000, 9000 },
	{ 54, "chain_of_wrap",
	  "local f for i = 1, 12000 do local prev = f f = coroutine.wrap(function() "
	  "local x <close> = setmetatable({}, {__close = function() if prev then prev() end end}) "
	  "coroutine.yield() error('x', 0) end) f() end f()",
	  ERR, 128, 5000, 9000 },
	{ 54, "long_chain_of_close",
	  "local co for i = 1, 60000 do local prev = co co = coroutine.create(function() "
	  "local x <close> = setmetatable({}, {__close = function() "
	  "if prev then assert(coroutine.close(prev)) end end}) coroutine.yield() end) "
	  "coroutine.resume(co) end assert(coroutine.close(co))",
	  ERR, 256, 9000, 19000 },
	{ 55, "index_recursing",
	  "return setmetatable({}, {__index = function(t, k) return t[k .. 1] end}).x", ERR },
	{ 55, "tostring_recursing",
	  "return tostring(setmetatable({}, {__tostring = function(t) return tostring(t) end}))",
	  ERR },
	{ 56, "index_chain",
	  "local t = {} for i = 1, 100000 do t = setmetatable({}, {__index = t}) end return t.x",
	  ERR, 64, 2000, 4000 },
	{ 57, "errors_in_handlers",
	  "local ok, e = xpcall(error, function() xpcall(error, function() "
	  "error('innermost') end) error('inner') end) error(e, 0)",
	  ERR },
	{ 61, "load_of_bytecode", "return load == nil and string.dump == nil", ABS },
	{ 62, "flipped_bytecode", "return load == nil and string.dump == nil", ABS },
	{ 63, "string_dump", "return string.dump == nil and ('').dump == nil", ABS },
	{ 64, "load_with_env", "return load == nil and setfenv == nil", ABS },
	{ 65, "dofile", "return dofile == nil", ABS },
	{ 66, "loaders",
	  "return loadfile == nil and package == nil and io == nil and debug == nil and "
	  "os.execute == nil and os.remove == nil and os.rename == nil and module == nil and "
	  "not pcall(require, 'io') and not pcall(require, 'os') and warn == nil",
	  ABS },
	{ 67, "string_metatable_index",
	  "local ok = pcall(function() getmetatable('').__index = {} end) "
	  "return not ok and not pcall(setmetatable, '', {}) and ('x'):upper() == 'X'",
	  ABS },
	{ 68, "string_metatable_add",
	  "return not pcall(function() getmetatable('').__add = print end) and "
	  "not pcall(rawset, getmetatable(''), '__add', print)",
	  ABS },
	{ 69, "globals_metatable",
	  "setmetatable(_G, {__index = function() return 'feigned' end}) return true", ISO, 0, 0, 0,
	  "return no_such_name == nil and getmetatable(_G) == nil" },
	{ 70, "rawset_over_functions",
	  "rawset(_G, 'pcall', 1) rawset(_G, 'error', 2) rawset(_G, 'tostring', 3) "
	  "rawset(_G, 'coroutine', nil) rawset(_G, 'print', nil) return true",
	  ISO, 0, 0, 0,
	  "return type(pcall) == 'function' and type(error) == 'function' and "
	  "type(tostring) == 'function' and type(coroutine.wrap) == 'function'" },
	{ 71, "shared_library_tables",
	  "string.rep = function() return 'evil' end table.insert = nil math.huge = 0 "
	  "json.encode = nil apprun.auth = {} return true",
	  ISO, 0, 0, 0,
	  "return ('x'):rep(2) == 'xx' and table.insert ~= nil and math.huge > 1 and "
	  "type(json.encode) == 'function' and rawget(apprun, 'auth') == nil" },
	{ 72, "leftovers",
	  "left = 'behind' string.left = {} _G[1] = 2 apprun.left = 1 log.left = 1 "
	  "getmetatable(json.array{}).left = 1 return true",
	  ISO, 0, 0, 0,
	  "return left == nil and string.left == nil and _G[1] == nil and "
	  "rawget(apprun, 'left') == nil and log.left == nil and "
	  "getmetatable(json.array{}).left == nil" },
	{ 72, "leftover_coroutine",
	  "left = coroutine.wrap(function() while true do coroutine.yield() end end) left() "
	  "return true",
	  ISO, 0, 0, 0, "return left == nil" },
	{ 72, "timers",
	  "return setTimeout == nil and os.timer == nil and not pcall(require, 'timer')", ABS },
	{ 73, "gc_metamethod",
	  "return not pcall(setmetatable, {}, {__gc = function() " LOOP " end})", ABS },
	{ 73, "gc_metamethod_set_later",
	  "local mt = {} for i = 1, 1000 do setmetatable({}, mt) end "
	  "mt.__gc = function() " LOOP " end local ok = pcall(setmetatable, {}, mt) "
	  "local t for i = 1, 100000 do t = {i} end return not ok",
	  ABS, 0, 1000, 3000 },
	{ 74, "gc_at_the_end",
	  "local mt = {} kept = setmetatable({}, mt) mt.__gc = function() " LOOP " end return true",
	  OK },
	{ 75, "gc_with_pattern_at_the_end",
	  "local mt = {} kept = setmetatable({}, mt) mt.__gc = function() "
	  "(('a'):rep(10000)):find('.-.-.-.-b') end return true",
	  OK },
	{ 76, "gc_that_resurrects",
	  "return not pcall(setmetatable, {}, {__gc = function(o) kept = o end})", ABS },
	{ 77, "errors_in_finalizers",
	  "for i = 1, 1000 do if pcall(setmetatable, {}, {__gc = error}) then return false end end "
	  "return true",
	  ABS },
	{ 78, "collector_stopped",
	  "return not pcall(collectgarbage, 'stop') and not pcall(collectgarbage, 'setpause', "
	  "1000) "
	  "and not pcall(collectgarbage, 'generational')",
	  ABS },
	{ 81, "clock_around_a_loop",
	  "local a, b = os.time(), os.clock() for i = 1, 1e6 do end "
	  "return a == os.time() and b == os.clock() and os.date() == os.date('%c', a)",
	  OK, 0, 1000, 3000 },
	{ 82, "clock", "return os.clock() == 0 and os.clock() == 0", ABS },
	{ 83, "os_functions",
	  "return os.setlocale == nil and os.tmpname == nil and os.getenv == nil and os.exit == "
	  "nil",
	  ABS },
	{ 96, "decode_of_depth_100000", "json.decode(('['):rep(100000) .. (']'):rep(100000))", ERR,
	  0, 0, 0, NULL, "too deep" },
	{ 96, "decode_of_objects_of_depth_100000", "json.decode(('{\"a\":'):rep(100000))", ERR, 0,
	  0, 0, NULL, "too deep" },
	{ 96, "decode_of_a_million_keys",
	  "local t = {} for i = 1, 1e6 do t[i] = ('\"%x\":0'):format(i) end "
	  "json.decode('{' .. table.concat(t, ',') .. '}')",
	  ERR, 256, 20000, 29000, NULL, "text too long" },
	{ 96, "decode_of_300000_keys",
	  "local t = {} for i = 1, 3e5 do t[i] = ('\"%x\":0'):format(i) end "
	  "json.decode('{' .. table.concat(t, ',') .. '}')",
	  ERR, 128, 9000, 19000, NULL, "too many values" },
	{ 96, "decode_of_a_million_values", "json.decode('[' .. ('1,'):rep(1e6) .. '1]')", ERR, 64,
	  5000, 9000, NULL, "too many values" },
	{ 96, "decode_of_duplicate_keys", "json.decode('{\"a\":1,\"\\\\u0061\":2}')", ERR, 0, 0, 0,
	  NULL, "duplicate key" },
	{ 96, "decode_of_a_huge_float", "json.decode('1e999')", ERR, 0, 0, 0, NULL, "in range" },
	{ 96, "decode_of_a_huge_integer", "json.decode(('9'):rep(30))", ERR, 0, 0, 0, NULL,
	  "integer out of range" },
	{ 96, "decode_of_a_million_digits", "json.decode('1' .. ('0'):rep(1e6))", ERR },
	{ 96, "decode_of_invalid_utf8", "json.decode('\"\xc0\x80\"')", ERR, 0, 0, 0, NULL,
	  "invalid UTF-8" },
	{ 96, "decode_of_a_coded_surrogate", "json.decode('\"\xed\xa0\x80\"')", ERR, 0, 0, 0, NULL,
	  "invalid UTF-8" },
	{ 96, "decode_of_a_lone_high_surrogate", "json.decode('\"\\\\ud800\"')", ERR, 0, 0, 0, NULL,
	  "lone surrogate" },
	{ 96, "decode_of_a_lone_low_surrogate", "json.decode('\"\\\\udc00\"')", ERR, 0, 0, 0, NULL,
	  "lone surrogate" },
	{ 96, "decode_of_two_high_surrogates", "json.decode('\"\\\\ud800\\\\ud800\"')", ERR, 0, 0,
	  0, NULL, "lone surrogate" },
	{ 97, "encode_of_a_cycle", "local t = {} t.t = t json.encode(t)", ERR, 0, 0, 0, NULL,
	  "too deep" },
	{ 97, "encode_of_nan", "json.encode({0 / 0})", ERR, 0, 0, 0, NULL, "not finite" },
	{ 97, "encode_of_infinity", "json.encode({x = -math.huge})", ERR, 0, 0, 0, NULL,
	  "not finite" },
	{ 97, "encode_of_holes", "json.encode({1, nil, 3, nil, nil, 6})", ERR, 0, 0, 0, NULL,
	  "holes" },
	{ 97, "encode_of_a_far_key", "json.encode({[math.maxinteger] = 1})", ERR, 0, 0, 0, NULL,
	  "holes" },
	{ 97, "encode_of_a_mixed_table", "json.encode({1, a = 2})", ERR, 0, 0, 0, NULL,
	  "both a list and a map" },
	{ 97, "encode_of_a_table_as_key", "json.encode({[{}] = 1})", ERR },
	{ 97, "encode_of_a_function", "json.encode({print})", ERR, 0, 0, 0, NULL, "a function" },
	{ 97, "encode_with_endless_pairs",
	  "json.encode(setmetatable({}, {__pairs = function() return function() return 1, 1 end "
	  "end}))",
	  ERR, 0, 0, 0, NULL, "metatable" },
	{ 97, "encode_with_endless_len",
	  "json.encode({x = setmetatable({}, {__len = function() return 1 << 40 end})})", ERR, 0, 0,
	  0, NULL, "metatable" },
	{ 97, "encode_with_computed_index",
	  "json.encode(setmetatable({1}, {__index = function() " LOOP " end}))", ERR, 0, 0, 0, NULL,
	  "metatable" },
	{ 97, "result_with_computed_index",
	  "return setmetatable({}, {__index = function() " LOOP " end})", ERR, 0, 0, 0, NULL,
	  "metatable" },
	{ 97, "host_call_with_computed_index",
	  "apprun.a.b{setmetatable({}, {__index = function() " LOOP " end})}", ERR, 0, 0, 0, NULL,
	  "metatable" },
	{ 97, "result_of_a_cycle", "local t = {} t[1] = t return t", RESULT },
};

#endif
