-- Two different bodies under one message id are two records.
ALTER TABLE parked
    DROP KEY parked_once,
    ADD UNIQUE KEY parked_once (incarnation, message_id, order_id, digest);
