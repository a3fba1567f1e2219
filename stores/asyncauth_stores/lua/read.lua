-- Reads a record, with the server's clock and history.
-- KEYS[1]  the record
-- returns  { the stored string (version and value) or nil, milliseconds since 1970, replication id or nil }
local time = redis.call('TIME')
local info = redis.pcall('INFO', 'replication')
-- pcall gives a table where the user may not call INFO
local known = type(info) == 'string'
-- A replica lags behind, and a primary that was demoted is one.
if known and string.find(info, 'role:slave', 1, true) then
  return redis.error_reply("READONLY a replica's records may be old")
end
return {
  redis.call('GET', KEYS[1]),
  time[1] * 1000 + math.floor(time[2] / 1000),
  known and string.match(info, 'master_replid:(%w+)') or false,
}
