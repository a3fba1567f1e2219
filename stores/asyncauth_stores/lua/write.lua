-- Replaces a record if its version and the server's history are still the expected ones.
-- KEYS[1]  the record
-- ARGV[1]  expected version; empty: nothing is stored
-- ARGV[2]  expected replication id; empty: unknown
-- ARGV[3]  the new string (version and value); empty: remove the record
-- ARGV[4]  milliseconds after which the record may go; empty: never
-- ARGV[5]  the channel to wake; empty: nobody
-- returns  { 1 if written, stored string or nil, milliseconds since 1970, replication id or nil }
local VERSION_SIZE = 32
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local info = redis.pcall('INFO', 'replication')
local history = type(info) == 'string' and string.match(info, 'master_replid:(%w+)') or false
local stored = redis.call('GET', KEYS[1])

local version = stored and string.sub(stored, 1, VERSION_SIZE) or ''
if version ~= ARGV[1] or (history or '') ~= ARGV[2] then
  return { 0, stored, now, history }
end

-- Published first: a user who may not publish is refused before anything is written. Nobody can look
-- before the script has ended.
if ARGV[5] ~= '' then
  redis.call('PUBLISH', ARGV[5], '')
end
if ARGV[3] == '' then
  redis.call('DEL', KEYS[1])
elseif ARGV[4] == '' then
  redis.call('SET', KEYS[1], ARGV[3])
else
  redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
end
return { 1, false, now, history }
