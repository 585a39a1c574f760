"""The scripts of limits in Redis: all who come, or go, in one turn of an event loop in one script. They are Lua.

They do the sums of `window.Window` on a hash (`r<second>`, `t<second>`, their sums `R` and `T`, the oldest and newest
second `o` and `n`) and on a sorted set of places by when each ends. Keys are these two for each subject, then the mark
that says that all counters are whole, where there is one. Time is the server's, unless the first argument is one.
"""

from __future__ import annotations

from tidyllm.access.window import SPAN

__all__ = ["ENTER", "FILL", "LEAVE", "RENEW"]

_NOW = """
local now = tonumber(ARGV[1])
if now == nil then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1000000
end
local span = SPAN
local function number(value) return tonumber(value or 0) or 0 end
local function fields(key, from, to)
  local names = {}
  for second = from, to do
    names[#names + 1] = 'r' .. second
    names[#names + 1] = 't' .. second
  end
  return names
end
local function present(key, newest)
  local second = math.max(math.floor(now), newest)
  if newest == 0 then redis.call('HSET', key, 'o', second) end
  redis.call('HSET', key, 'n', second)
  redis.call('EXPIRE', key, 2 * span)
  return second
end
""".replace("SPAN", str(SPAN))

ENTER = (
    """
local whole
if #KEYS % 2 == 1 then
  whole = redis.call('GET', KEYS[#KEYS])
  if not whole then return {-1} end
end
"""
    + _NOW
    + """
local lease, oldest = tonumber(ARGV[2]), math.floor(now) - span + 1
local subjects, seconds = {}, {}
for i = 1, math.floor(#KEYS / 2) do
  local key = KEYS[2 * i - 1]
  local one = {
    key = key, rpm = tonumber(ARGV[3 * i]), tpm = tonumber(ARGV[3 * i + 1]), places = tonumber(ARGV[3 * i + 2]),
    requests = 0, used = 0, first = 0, last = 0, inside = 0
  }
  one.rated = one.rpm >= 0 or one.tpm >= 0
  if one.rated then
    local state = redis.call('HMGET', key, 'R', 'T', 'o', 'n')
    one.requests, one.used, one.first, one.last =
      number(state[1]), number(state[2]), number(state[3]), number(state[4])
    if one.last > 0 and one.last < oldest then
      redis.call('DEL', key)
      one.requests, one.used, one.first, one.last = 0, 0, 0, 0
    elseif one.last > 0 and one.first < oldest then
      -- Some at a time: a key whose calls only end may have hours of them, and Lua takes some thousand values.
      for from = one.first, oldest - 1, 1000 do
        local names = fields(key, from, math.min(from + 999, oldest - 1))
        local counts = redis.call('HMGET', key, unpack(names))
        for at = 1, #counts, 2 do
          one.requests = one.requests - number(counts[at])
          one.used = one.used - number(counts[at + 1])
        end
        redis.call('HDEL', key, unpack(names))
      end
      one.first = oldest
      redis.call('HSET', key, 'R', one.requests, 'T', one.used, 'o', oldest)
    end
  end
  if one.places >= 0 then
    redis.call('ZREMRANGEBYSCORE', KEYS[2 * i], '-inf', now)
    one.inside = redis.call('ZCARD', KEYS[2 * i])
  end
  subjects[i], seconds[i] = one, math.max(math.floor(now), one.last)
end
seconds[#seconds + 1] = whole and tonumber(whole)

local entered, tokens, places = 0, 0, {}
local function write()
  if entered == 0 then return end
  local sum = string.format('%.0f', tokens)
  for i, one in ipairs(subjects) do
    if one.rated then
      local second = present(one.key, one.last)
      redis.call('HINCRBY', one.key, 'r' .. second, entered)
      redis.call('HINCRBY', one.key, 'R', entered)
      redis.call('HINCRBY', one.key, 't' .. second, sum)
      redis.call('HINCRBY', one.key, 'T', sum)
      if one.last == 0 then one.first = second end
      one.last, one.counts = second, nil
    end
    if one.places >= 0 then
      redis.call('ZADD', KEYS[2 * i], unpack(places))
      redis.call('PEXPIRE', KEYS[2 * i], math.ceil(lease * 2000))
    end
  end
  entered, tokens, places = 0, 0, {}
end

local function wait(one, offset, excess)
  write()
  -- Read once, however many are denied.
  one.counts = one.counts or redis.call('HMGET', one.key, unpack(fields(one.key, one.first, one.last)))
  for at = 0, one.last - one.first do
    excess = excess - number(one.counts[2 * at + offset])
    if excess <= 0 then return tostring(one.first + at + span - now) end
  end
  return ''
end

local function denied(wanted)
  for i, one in ipairs(subjects) do
    if one.rpm >= 0 and one.requests + 1 > one.rpm then
      return {i, 1, one.requests, wait(one, 1, one.requests + 1 - one.rpm)}
    end
    if one.tpm >= 0 and one.used + wanted > one.tpm then
      if wanted > one.tpm then return {i, 2, one.used, ''} end
      return {i, 2, one.used, wait(one, 2, one.used + wanted - one.tpm)}
    end
    if one.places >= 0 and one.inside + 1 > one.places then return {i, 3, one.inside, ''} end
  end
end

local told = {}
for at = 3 + 3 * #subjects, #ARGV, 2 do
  local wanted = tonumber(ARGV[at])
  local why = denied(wanted)
  if not why then
    for _, one in ipairs(subjects) do
      one.requests, one.used, one.inside = one.requests + 1, one.used + wanted, one.inside + 1
    end
    entered, tokens = entered + 1, tokens + wanted
    places[#places + 1], places[#places + 2] = now + lease, ARGV[at + 1]
  end
  told[#told + 1] = why or 1
end
write()
return {seconds, told}
"""
)
"""Arguments: time, seconds of a lease, three limits for each subject (-1: none), then tokens and place of each call.

Returns in which second each subject counts, and the mark; then for each call 1, or why not: which subject, which limit,
how much is taken, seconds until there is room. Or -1 alone: the counters are not whole.
"""

LEAVE = (
    _NOW
    + """
local back, more, mark = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[5]
-- What was counted before the counters were lost was lost with them: all that was used is missing now.
if #KEYS % 2 == 1 and redis.call('GET', KEYS[#KEYS]) ~= mark then back, more = 0, tonumber(ARGV[4]) end
local subjects = math.floor(#KEYS / 2)
local places = {unpack(ARGV, 6 + 2 * subjects)}
for i = 1, subjects do
  local key = KEYS[2 * i - 1]
  local second, counts = tonumber(ARGV[4 + 2 * i]), ARGV[5 + 2 * i] == '1'
  redis.call('ZREM', KEYS[2 * i], unpack(places))
  if counts and back > 0 then
    local less = math.min(back, number(redis.call('HGET', key, 't' .. second)))
    if less > 0 then
      less = string.format('%.0f', -less)
      redis.call('HINCRBY', key, 't' .. second, less)
      redis.call('HINCRBY', key, 'T', less)
    end
  end
  if counts and more > 0 then
    local at = present(key, number(redis.call('HGET', key, 'n')))
    redis.call('HINCRBY', key, 't' .. at, string.format('%.0f', more))
    redis.call('HINCRBY', key, 'T', string.format('%.0f', more))
  end
end
return 1
"""
)
"""Arguments: time; tokens that were counted too much, too little, and all that were used, in sum; the mark under which
they were counted; for each subject the second in which it counted and whether it counts tokens; then the places."""

RENEW = (
    _NOW
    + """
local lease = tonumber(ARGV[2])
for i = 1, #KEYS do
  redis.call('ZADD', KEYS[i], now + lease, ARGV[2 + i])
  redis.call('PEXPIRE', KEYS[i], math.ceil(lease * 2000))
end
return 1
"""
)

FILL = (
    _NOW
    + """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('SET', KEYS[1], string.format('%.0f', now * 1000))
for i = 2, #KEYS do
  local oldest, newest, requests, tokens = nil, 0, 0, 0
  redis.call('DEL', KEYS[i])
  for second, used in pairs(cjson.decode(ARGV[i])) do
    local at = tonumber(second)
    redis.call('HSET', KEYS[i], 'r' .. second, used[1], 't' .. second, used[2])
    oldest, newest = math.min(oldest or at, at), math.max(newest, at)
    requests, tokens = requests + used[1], tokens + used[2]
  end
  redis.call('HSET', KEYS[i], 'R', requests, 'T', tokens, 'o', oldest, 'n', newest)
  redis.call('EXPIRE', KEYS[i], 2 * span)
end
return 1
"""
)
