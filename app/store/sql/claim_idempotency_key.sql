-- claim_idempotency_key: use a key for the first time, or again once its 24 hours are over. A
-- concurrent request with the same key waits here for the other's end; no row comes back when the
-- key is taken.
INSERT INTO idempotency (project_id, key, operation, content_hash, result_id)
VALUES (:project_id, :key, :operation, :content_hash, :result_id)
    ON CONFLICT (project_id, key) DO UPDATE
       SET operation = excluded.operation,
           content_hash = excluded.content_hash,
           result_id = excluded.result_id,
           created_at = now()
     WHERE idempotency.created_at < now() - interval '24 hours'
RETURNING result_id
