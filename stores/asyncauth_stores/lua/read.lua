-- Reads a record, with the server's clock and history.
-- KEYS[1]  the record
-- returns  { the stored string (version and value) or nil, milliseconds since 1970, replication id or nil }
local time = redis.call('TIME')
local info = redis.pcall('INFO', 'replication')
return {
  redis.call('GET', KEYS[1]),
  time[1] * 1000 + math.floor(time[2] / 1000),
  -- pcall gives a table where the user may not call INFO
  type(info) == 'string' and string.match(info, 'master_replid:(%w+)') or false,
}
