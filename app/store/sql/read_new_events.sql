-- read_new_events: the events that this transaction's snapshot sees and :previous did not, in the
-- order in which they were written. Locks nothing. The first condition is what the index
-- event_transaction serves; the second is exact.
SELECT event.id,
       cast(cast(event.transaction_id AS text) AS bigint) AS transaction_id,
       event.project_id, event.subject, event.change, event.entity_ids, event.parent_ids
  FROM event
 WHERE event.transaction_id >= pg_snapshot_xmin(cast(cast(:previous AS text) AS pg_snapshot))
   AND NOT pg_visible_in_snapshot(
           event.transaction_id, cast(cast(:previous AS text) AS pg_snapshot))
   AND (cast(:until AS text) IS NULL
        OR pg_visible_in_snapshot(
               event.transaction_id, cast(cast(:until AS text) AS pg_snapshot)))
 ORDER BY event.id
 LIMIT :limit
