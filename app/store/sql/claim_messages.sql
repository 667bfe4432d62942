-- claim_messages: take messages that are due, for :lease_seconds: whoever dies while it sends one
-- leaves it to be sent again after that. SKIP LOCKED: every process claims.
UPDATE notification_message AS message
   SET attempts = message.attempts + 1,
       next_attempt_at = now() + make_interval(secs => :lease_seconds)
  FROM (SELECT due.id
          FROM notification_message AS due
         WHERE due.state = 'WAITING'
           AND due.next_attempt_at <= now()
         ORDER BY due.next_attempt_at
         LIMIT :limit
           FOR UPDATE SKIP LOCKED) AS claimed,
       notification_rule AS rule
  JOIN project ON project.id = rule.project_id
 WHERE message.id = claimed.id
   AND rule.id = message.rule_id
RETURNING message.id, message.attempts, message.created_at, rule.id AS rule_id,
          rule.key AS rule_key, rule.target, project.id AS project_id, project.key AS project_key,
          (SELECT jsonb_agg(notification.facts ORDER BY notification.id)
             FROM notification
            WHERE notification.message_id = message.id) AS notifications
