#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The loadable module, in a stock Lua, from the build directory. LUA names the interpreter. Speaks TAP.
set -u
if [ -z "${LUA:-}" ]; then
    echo "1..0 # SKIP no Lua 5.4 interpreter"
    exit
fi
if [ "${SANITIZER:-no}" = yes ]; then
    echo "1..0 # SKIP a module built with the sanitizer needs an interpreter built with it"
    exit
fi
top=${srcdir:-.}
LUA_PATH="$top/lua/?.lua;$top/lua/?/init.lua"
LUA_CPATH="$PWD/lib/?.so"
export LUA_PATH LUA_CPATH
echo 1..2
out=$("$LUA" "$top/tests/module.lua" 2>&1) || printf 'not '
echo "ok 1 - require \"lstm\" in a stock Lua trains a model"
echo "# $out"
out=$("$LUA" -e 'require "lstm.core" os.exit(true, true)' 2>&1) || printf 'not '
echo "ok 2 - the state closes cleanly"
echo "# $out"
