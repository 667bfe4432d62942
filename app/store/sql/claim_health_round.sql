-- claim_health_round: begin the round that is due. Whoever comes first gets the row; those who waited
-- for it find it renewed, and get nothing.
UPDATE health_round
   SET began_at = now()
 WHERE health_round.began_at <= now() - make_interval(secs => :every_seconds)
RETURNING now() AS as_of, health_round.reached_id,
          greatest(health_round.examined_until, now() - interval '1 day') AS examined_until
