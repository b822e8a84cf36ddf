-- Which span a message belongs to, as RabbitMQ's messages say it in a header (W3C Trace Context).
ALTER TABLE queue_messages ADD COLUMN traceparent TEXT;
