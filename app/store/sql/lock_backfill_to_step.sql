-- lock_backfill_to_step: hold the backfill that has waited longest to be carried on. SKIP LOCKED: any
-- worker carries on any of them, each by one at a time. share_control came before: whether the
-- instance fires stays as it is read here. :id narrows to one.
SELECT backfill.id,
       now() AS as_of,
       scheduler.state = 'RUNNING' AS fires
  FROM backfill
 CROSS JOIN scheduler_state AS scheduler
 WHERE backfill.step_at <= now()
   AND (cast(:id AS uuid) IS NULL OR backfill.id = :id)
 ORDER BY backfill.step_at, backfill.id
 LIMIT 1
   FOR NO KEY UPDATE OF backfill SKIP LOCKED
