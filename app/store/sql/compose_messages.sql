-- compose_messages: give each rule whose time has come a message with the oldest of what it has to
-- tell, up to :most, and let it wait :pause_seconds for its next one. So a first failure is told at
-- once, and a storm in a few long messages. The caller holds the row of notification_feed.
WITH ready AS MATERIALIZED (
    SELECT rule.id AS rule_id, gen_random_uuid() AS message_id
      FROM notification_rule AS rule
     WHERE rule.next_message_at <= now()
       AND EXISTS (
           SELECT FROM notification
            WHERE notification.rule_id = rule.id
              AND notification.message_id IS NULL)
       -- Held against its deletion, but nobody waits for somebody who edits it.
       FOR UPDATE OF rule SKIP LOCKED
), paced AS (
    UPDATE notification_rule AS rule
       SET next_message_at = now() + make_interval(secs => :pause_seconds)
      FROM ready
     WHERE rule.id = ready.rule_id
), made AS (
    INSERT INTO notification_message (id, rule_id, state, attempts, next_attempt_at, created_at)
    SELECT ready.message_id, ready.rule_id, 'WAITING', 0, now(), now()
      FROM ready
)
UPDATE notification
   SET message_id = oldest.message_id
  FROM (SELECT ready.message_id, untold.id
          FROM ready
         CROSS JOIN LATERAL (
               SELECT notification.id
                 FROM notification
                WHERE notification.rule_id = ready.rule_id
                  AND notification.message_id IS NULL
                ORDER BY notification.id
                LIMIT :most) AS untold) AS oldest
 WHERE notification.id = oldest.id
