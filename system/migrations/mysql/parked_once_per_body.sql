-- The same body of the same type is one record, under however many message ids it comes. `digest`: SHA-256 of type and
-- whole body in hex digits, or a word for what has no body. Records from before keep theirs, told apart by their ids.
ALTER TABLE parked MODIFY COLUMN digest VARCHAR(64) NOT NULL DEFAULT '';
UPDATE parked SET digest = CASE
    WHEN message_id = 'queue' AND order_id = 0 AND digest = 'cbf29ce484222325' AND kind IN ('queue.suspected', 'queue.lost')
    THEN 'queue' ELSE CONCAT(digest, ':', id) END;
ALTER TABLE parked
    DROP KEY parked_once,
    ADD UNIQUE KEY parked_once (incarnation, order_id, digest),
    ADD KEY parked_open (resolved, incarnation, order_id, created_at_ms);
