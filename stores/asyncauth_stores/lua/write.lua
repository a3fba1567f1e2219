-- Replaces a record if its version and the server's history are still the expected ones.
-- KEYS[1]  the record
-- ARGV[1]  expected version; empty: nothing is stored
-- ARGV[2]  expected replication id; empty: unknown
-- ARGV[3]  the new string (version and value); empty: remove the record
-- ARGV[4]  milliseconds after which the record may go; empty: never
-- ARGV[5]  the channel to wake; empty: nobody
-- ARGV[6]  1: the channel is sharded, where the server knows that
-- returns  { 1 if written, stored string or nil, milliseconds since 1970, replication id or nil }
local VERSION_SIZE = 32
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local info = redis.pcall('INFO', 'replication')
local known = type(info) == 'string'
-- Of itself Redis 6.2 says so in a text that clients do not recognise.
if known and string.find(info, 'role:slave', 1, true) then
  return redis.error_reply("READONLY a replica takes no records")
end
local history = known and string.match(info, 'master_replid:(%w+)') or false
local stored = redis.call('GET', KEYS[1])

local version = stored and string.sub(stored, 1, VERSION_SIZE) or ''
if version ~= ARGV[1] or (history or '') ~= ARGV[2] then
  return { 0, stored, now, history }
end

-- Published first: a user who may not publish is refused before anything is written. Nobody can look
-- before the script has ended.
if ARGV[5] ~= '' then
  -- Who wrote this version, or has read it, need not look again.
  local word = ARGV[3] == '' and 'removed' or string.sub(ARGV[3], 1, VERSION_SIZE)
  local published = ARGV[6] == '1' and redis.pcall('SPUBLISH', ARGV[5], word) or nil
  -- Redis 6.2 knows no sharded channels; what else it refuses, it refuses.
  if type(published) == 'table' and not string.find(published.err, 'Unknown', 1, true) then
    return published
  end
  if type(published) ~= 'number' then
    redis.call('PUBLISH', ARGV[5], word)
  end
end
if ARGV[3] == '' then
  redis.call('DEL', KEYS[1])
elseif ARGV[4] == '' then
  redis.call('SET', KEYS[1], ARGV[3])
else
  redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
end
return { 1, false, now, history }
