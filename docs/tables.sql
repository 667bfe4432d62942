CREATE FUNCTION public.audit_is_append_only() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    BEGIN
        RAISE EXCEPTION 'the audit is append-only';
    END
    $$;

CREATE FUNCTION public.audit_is_to_be_sealed() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    BEGIN
        INSERT INTO audit_unsealed (audit_id) SELECT entry.id FROM written AS entry;
        RETURN NULL;
    END
    $$;

CREATE FUNCTION public.facets_of(tags jsonb, timezone text, timings jsonb) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ((ARRAY(SELECT ((('tag:'::text || (tag.tag ->> 'key'::text)) || chr(31)) || (tag.tag ->> 'value'::text)) FROM jsonb_path_query(facets_of.tags, '$.keyvalue()'::jsonpath, '{}'::jsonb, true) tag(tag) WHERE ((tag.tag ->> 'value'::text) IS NOT NULL)) || ('zone:'::text || timezone)) || ARRAY(SELECT DISTINCT ('timing:'::text || (kinds.kind #>> '{}'::text[])) FROM (SELECT jsonb_path_query(facets_of.timings, '$[*].keyvalue()."key"'::jsonpath, '{}'::jsonb, true) AS jsonb_path_query UNION ALL SELECT jsonb_path_query(facets_of.timings, '$[*]."cron"."frequency"'::jsonpath, '{}'::jsonb, true) AS jsonb_path_query) kinds(kind) WHERE ((kinds.kind #>> '{}'::text[]) IS NOT NULL)));

CREATE FUNCTION public.keep_new_schedule_search() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO schedule_search (schedule_id, project_id, name, words, facets)
    SELECT schedule.id, schedule.project_id, schedule.name,
           words_in(schedule.key, schedule.name, schedule.description, schedule.tags),
           facets_of(schedule.tags, schedule.timezone, schedule.timings)
      FROM written AS schedule;
    RETURN NULL;
END $$;

CREATE FUNCTION public.keep_schedule_search() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO schedule_search (schedule_id, project_id, name, words, facets)
SELECT schedule.id, schedule.project_id, schedule.name,
       words_in(schedule.key, schedule.name, schedule.description, schedule.tags),
       facets_of(schedule.tags, schedule.timezone, schedule.timings)
      FROM (SELECT NEW.*) AS schedule
        ON CONFLICT (schedule_id) DO UPDATE
       SET name = excluded.name, words = excluded.words, facets = excluded.facets;
    RETURN NULL;
END $$;

CREATE FUNCTION public.run_has_its_tier() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    BEGIN
        NEW.tier := CASE NEW.cause WHEN 'CATCH_UP' THEN 1 ELSE 2 END;
        RETURN NEW;
    END
    $$;

CREATE FUNCTION public.words_of(given text) RETURNS text[]
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (SELECT COALESCE(array_agg("left"(split.word, 100) ORDER BY split.place), '{}'::text[]) AS "coalesce" FROM regexp_split_to_table(lower((NORMALIZE(words_of.given) COLLATE pg_c_utf8)), '[^[:alnum:]]+'::text) WITH ORDINALITY split(word, place) WHERE (split.word <> ''::text));

CREATE FUNCTION public.words_in(key text, name text, description text, tags jsonb) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN array_to_tsvector(public.words_of(((((((key || ' '::text) || name) || ' '::text) || COALESCE(description, ''::text)) || ' '::text) || (tags)::text)));

CREATE FUNCTION public.words_query(given text) RETURNS tsquery
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (SELECT (COALESCE(string_agg((word.word || ':*'::text), ' & '::text), ''::text))::tsquery AS "coalesce" FROM unnest((public.words_of(words_query.given))[1:10]) word(word));

CREATE TABLE public.api_token (
    id uuid NOT NULL,
    project_id uuid,
    name character varying(200) NOT NULL,
    role character varying(32) NOT NULL,
    secret_hash bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone,
    last_used_at timestamp with time zone,
    revoked_at timestamp with time zone,
    CONSTRAINT api_token_role CHECK (((role)::text = ANY ((ARRAY['VIEWER'::character varying, 'OPERATOR'::character varying, 'EDITOR'::character varying, 'ADMIN'::character varying])::text[])))
);

CREATE TABLE public.attempt (
    run_id uuid NOT NULL,
    number integer NOT NULL,
    state character varying(32) NOT NULL,
    worker text,
    started_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone NOT NULL,
    error jsonb,
    exit_code integer,
    http_status integer,
    CONSTRAINT attempt_ends_after_start CHECK ((finished_at >= started_at)),
    CONSTRAINT attempt_is_over CHECK (((state)::text <> ALL ((ARRAY['QUEUED'::character varying, 'RUNNING'::character varying])::text[]))),
    CONSTRAINT attempt_state CHECK (((state)::text = ANY ((ARRAY['QUEUED'::character varying, 'RUNNING'::character varying, 'SUCCEEDED'::character varying, 'FAILED'::character varying, 'TIMED_OUT'::character varying, 'CANCELLED'::character varying, 'LOST'::character varying, 'SKIPPED'::character varying, 'MISSED'::character varying])::text[])))
)
WITH (autovacuum_vacuum_scale_factor='0.02');

CREATE TABLE public.audit (
    id uuid NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    project_id uuid,
    actor jsonb,
    action text NOT NULL,
    subject_kind text NOT NULL,
    subject_id uuid,
    summary text NOT NULL,
    changes jsonb NOT NULL,
    request_id text,
    address text
);

CREATE TABLE public.audit_seal (
    "position" bigint NOT NULL,
    audit_id uuid NOT NULL,
    seal bytea NOT NULL,
    sealed_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.audit_unsealed (
    audit_id uuid NOT NULL
);

CREATE TABLE public.backfill (
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    schedule_id uuid NOT NULL,
    schedule_version integer NOT NULL,
    state character varying(32) NOT NULL,
    message text,
    started_by jsonb,
    created_at timestamp with time zone NOT NULL,
    cancel_requested_at timestamp with time zone,
    finished_at timestamp with time zone,
    revision integer NOT NULL,
    from_at timestamp with time zone NOT NULL,
    until_at timestamp with time zone NOT NULL,
    only_missing boolean NOT NULL,
    overlap character varying(32) NOT NULL,
    rate_per_minute integer,
    counted_at timestamp with time zone NOT NULL,
    cursor_at timestamp with time zone NOT NULL,
    settled_at timestamp with time zone NOT NULL,
    total integer NOT NULL,
    made integer NOT NULL,
    failed integer NOT NULL,
    next_due_at timestamp with time zone NOT NULL,
    step_at timestamp with time zone,
    CONSTRAINT backfill_is_over CHECK ((((state)::text = ANY ((ARRAY['RUNNING'::character varying, 'PAUSED'::character varying])::text[])) = (finished_at IS NULL))),
    CONSTRAINT backfill_over_is_left_alone CHECK (((finished_at IS NULL) OR (step_at IS NULL))),
    CONSTRAINT backfill_overlap CHECK (((overlap)::text = ANY ((ARRAY['SKIP'::character varying, 'ALLOW'::character varying, 'QUEUE_ONE'::character varying, 'QUEUE_ALL'::character varying, 'CANCEL_RUNNING'::character varying])::text[]))),
    CONSTRAINT backfill_range CHECK ((until_at >= from_at)),
    CONSTRAINT backfill_rate CHECK ((rate_per_minute > 0)),
    CONSTRAINT backfill_state CHECK (((state)::text = ANY ((ARRAY['RUNNING'::character varying, 'PAUSED'::character varying, 'COMPLETED'::character varying, 'CANCELLED'::character varying])::text[])))
);

CREATE TABLE public.calendar (
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    key character varying(200) NOT NULL,
    name character varying(200) NOT NULL,
    version integer NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    created_by jsonb,
    updated_by jsonb,
    dates jsonb NOT NULL,
    rules jsonb NOT NULL
);

CREATE TABLE public.chain (
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    job_id uuid NOT NULL,
    target_id uuid NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    created_by jsonb,
    updated_by jsonb,
    after character varying(32) NOT NULL,
    parameters jsonb NOT NULL,
    fan_out character varying,
    fan_out_limit integer,
    CONSTRAINT chain_after CHECK (((after)::text = ANY ((ARRAY['SUCCEEDED'::character varying, 'FAILED'::character varying, 'ANY'::character varying])::text[]))),
    CONSTRAINT chain_fan_out CHECK (((fan_out IS NULL) = (fan_out_limit IS NULL))),
    CONSTRAINT chain_leads_on CHECK ((job_id <> target_id)),
    CONSTRAINT chain_limit CHECK ((fan_out_limit > 0))
);

CREATE TABLE public.endpoint (
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    key character varying(200) NOT NULL,
    version integer NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    created_by jsonb,
    updated_by jsonb,
    base_url text NOT NULL,
    headers jsonb NOT NULL,
    variables jsonb NOT NULL,
    auth jsonb NOT NULL
);

CREATE TABLE public.endpoint_token (
    endpoint_id uuid NOT NULL,
    generation text NOT NULL,
    key_id character varying(64) NOT NULL,
    sealed bytea NOT NULL,
    obtained_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL
);

CREATE TABLE public.event (
    id bigint NOT NULL,
    transaction_id xid8 DEFAULT pg_current_xact_id() NOT NULL,
    project_id uuid NOT NULL,
    subject text NOT NULL,
    change text NOT NULL,
    entity_ids uuid[] NOT NULL,
    revisions integer[] NOT NULL,
    parent_ids uuid[],
    at timestamp with time zone DEFAULT now() NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0.02');

ALTER TABLE public.event ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.event_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE SEQUENCE public.fencing_token
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1000;

CREATE TABLE public.halt (
    id uuid NOT NULL,
    state character varying(32) NOT NULL,
    began_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    missed character varying(32),
    CONSTRAINT halt_missed CHECK (((missed)::text = ANY ((ARRAY['SKIP'::character varying, 'LATEST'::character varying, 'ALL'::character varying, 'DRIP'::character varying])::text[]))),
    CONSTRAINT halt_state CHECK (((state)::text = ANY ((ARRAY['RUNNING'::character varying, 'PAUSED'::character varying, 'DRAINING'::character varying, 'STOPPED'::character varying])::text[])))
);

CREATE TABLE public.health_finding (
    id uuid NOT NULL,
    project_id uuid,
    code character varying(32) NOT NULL,
    subject text NOT NULL,
    severity character varying(32) NOT NULL,
    schedule_id uuid,
    message text NOT NULL,
    since timestamp with time zone NOT NULL,
    opened_at timestamp with time zone NOT NULL,
    seen_at timestamp with time zone NOT NULL,
    resolved_at timestamp with time zone,
    acknowledged_at timestamp with time zone,
    acknowledged_by jsonb,
    note text,
    revision integer NOT NULL,
    CONSTRAINT health_finding_code CHECK (((code)::text = ANY ((ARRAY['HIGH_FAILURE_RATE'::character varying, 'CONSECUTIVE_FAILURES'::character varying, 'OVERDUE'::character varying, 'STALE'::character varying, 'SLOWER_THAN_USUAL'::character varying, 'QUARANTINED'::character varying, 'NO_NEXT_RUN'::character varying, 'TICKER_SILENT'::character varying, 'NO_WORKER'::character varying, 'CLOCK_SKEW'::character varying, 'LEASES_NOT_SWEPT'::character varying, 'OWNER_POWERLESS'::character varying])::text[]))),
    CONSTRAINT health_finding_severity CHECK (((severity)::text = ANY ((ARRAY['INFO'::character varying, 'WARNING'::character varying, 'CRITICAL'::character varying])::text[])))
);

CREATE TABLE public.health_round (
    id integer NOT NULL,
    began_at timestamp with time zone NOT NULL,
    examined_until timestamp with time zone NOT NULL,
    reached_id uuid,
    CONSTRAINT health_round_is_one_row CHECK ((id = 1))
);

CREATE SEQUENCE public.health_round_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.health_round_id_seq OWNED BY public.health_round.id;

CREATE TABLE public.idempotency (
    project_id uuid NOT NULL,
    key character varying(200) NOT NULL,
    operation text NOT NULL,
    content_hash character varying(64) NOT NULL,
    result_id uuid NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.job (
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    key character varying(200) NOT NULL,
    name character varying(200) NOT NULL,
    description text,
    version integer NOT NULL,
    revision integer NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    archived_at timestamp with time zone,
    created_by jsonb,
    updated_by jsonb,
    kind character varying(32) NOT NULL,
    config jsonb NOT NULL,
    parameters_schema jsonb,
    parameters jsonb NOT NULL,
    queue character varying(200) NOT NULL,
    priority integer NOT NULL,
    timeout_seconds double precision NOT NULL,
    concurrency_limit integer,
    retry jsonb NOT NULL,
    on_worker_lost character varying(32) NOT NULL,
    tags jsonb NOT NULL,
    has_chains boolean DEFAULT false NOT NULL,
    CONSTRAINT job_concurrency CHECK ((concurrency_limit > 0)),
    CONSTRAINT job_kind CHECK (((kind)::text = ANY ((ARRAY['HTTP'::character varying, 'COMMAND'::character varying, 'PYTHON'::character varying])::text[]))),
    CONSTRAINT job_on_worker_lost CHECK (((on_worker_lost)::text = ANY ((ARRAY['RETRY'::character varying, 'FAIL'::character varying])::text[]))),
    CONSTRAINT job_timeout CHECK ((timeout_seconds > (0)::double precision))
);

CREATE TABLE public.login_code (
    code_hash bytea NOT NULL,
    expires_at timestamp with time zone NOT NULL
);

CREATE TABLE public.notification (
    id bigint NOT NULL,
    rule_id uuid CONSTRAINT notification_rule_id_not_null1 NOT NULL,
    message_id uuid,
    event character varying(32) NOT NULL,
    occurrence text NOT NULL,
    facts jsonb NOT NULL,
    CONSTRAINT notification_event CHECK (((event)::text = ANY ((ARRAY['RUN_FAILED'::character varying, 'RUN_RECOVERED'::character varying, 'SCHEDULE_AUTO_PAUSED'::character varying, 'SCHEDULE_QUARANTINED'::character varying, 'FINDING_OPENED'::character varying, 'FINDING_RESOLVED'::character varying])::text[])))
);

CREATE TABLE public.notification_feed (
    id integer NOT NULL,
    "position" text NOT NULL,
    CONSTRAINT notification_feed_is_one_row CHECK ((id = 1))
);

CREATE SEQUENCE public.notification_feed_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.notification_feed_id_seq OWNED BY public.notification_feed.id;

ALTER TABLE public.notification ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.notification_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.notification_message (
    id uuid NOT NULL,
    rule_id uuid NOT NULL,
    state character varying(32) NOT NULL,
    attempts integer NOT NULL,
    next_attempt_at timestamp with time zone NOT NULL,
    error text,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT notification_message_state CHECK (((state)::text = ANY ((ARRAY['WAITING'::character varying, 'DELIVERED'::character varying, 'GIVEN_UP'::character varying])::text[])))
);

CREATE TABLE public.notification_rule (
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    key character varying(200) NOT NULL,
    version integer NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    created_by jsonb,
    updated_by jsonb,
    events text[] NOT NULL,
    target jsonb NOT NULL,
    filter jsonb,
    next_message_at timestamp with time zone NOT NULL,
    last_delivered_at timestamp with time zone,
    last_error text
);

CREATE TABLE public.occurrence_override (
    id uuid NOT NULL,
    schedule_id uuid NOT NULL,
    at timestamp with time zone NOT NULL,
    action character varying(32) NOT NULL,
    move_to timestamp with time zone,
    fires_at timestamp with time zone NOT NULL,
    reason text NOT NULL,
    by jsonb,
    created_at timestamp with time zone NOT NULL,
    settled_at timestamp with time zone,
    orphaned boolean DEFAULT false NOT NULL,
    undone_at timestamp with time zone,
    undone_by jsonb,
    CONSTRAINT override_action CHECK (((action)::text = ANY ((ARRAY['SKIP'::character varying, 'MOVE'::character varying, 'ADD'::character varying, 'UNDO'::character varying])::text[]))),
    CONSTRAINT override_move CHECK ((((action)::text = 'MOVE'::text) = (move_to IS NOT NULL)))
);

CREATE TABLE public.project (
    id uuid NOT NULL,
    key character varying(200) NOT NULL,
    name character varying(200) NOT NULL,
    version integer NOT NULL,
    defaults jsonb NOT NULL,
    retention_seconds integer NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    shell_allowed boolean DEFAULT false NOT NULL,
    CONSTRAINT project_retention CHECK ((retention_seconds > 0))
);

CREATE TABLE public.queue (
    name character varying(200) NOT NULL,
    paused boolean NOT NULL,
    concurrency_limit integer,
    reason text,
    changed_by jsonb,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    version integer NOT NULL,
    CONSTRAINT queue_concurrency CHECK ((concurrency_limit > 0))
);

CREATE TABLE public.run (
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    job_id uuid NOT NULL,
    schedule_id uuid,
    schedule_version integer,
    rerun_of_id uuid,
    revision integer NOT NULL,
    state character varying(32) NOT NULL,
    reason character varying(32),
    message text,
    cause character varying(32) NOT NULL,
    triggered_by jsonb,
    overlap character varying(32) NOT NULL,
    scheduled_for timestamp with time zone NOT NULL,
    scheduled_local character varying(32),
    due_at timestamp with time zone NOT NULL,
    range_end timestamp with time zone,
    range_count integer,
    previous_success_for timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    next_attempt_at timestamp with time zone NOT NULL,
    blocked_at timestamp with time zone,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    parameters jsonb NOT NULL,
    result jsonb,
    error jsonb,
    tags jsonb NOT NULL,
    queue character varying(200) NOT NULL,
    priority integer NOT NULL,
    attempt integer NOT NULL,
    max_attempts integer NOT NULL,
    crash_count integer NOT NULL,
    progress double precision,
    progress_message text,
    worker_id uuid,
    fencing_token bigint,
    lease_expires_at timestamp with time zone,
    cancel_requested_at timestamp with time zone,
    first_started_at timestamp with time zone,
    blocked_on_queue boolean DEFAULT false NOT NULL,
    cancel_is_forced boolean DEFAULT false NOT NULL,
    tier smallint DEFAULT 0 NOT NULL,
    backfill_id uuid,
    given_back_count integer DEFAULT 0 NOT NULL,
    other_locals jsonb,
    chained_from_id uuid,
    chain_id uuid,
    chain_item integer,
    chain_depth integer,
    idempotency_key character varying(200),
    CONSTRAINT run_attempts CHECK ((attempt <= ((max_attempts + crash_count) + given_back_count))),
    CONSTRAINT run_cause CHECK (((cause)::text = ANY ((ARRAY['SCHEDULE'::character varying, 'CATCH_UP'::character varying, 'MANUAL'::character varying, 'BACKFILL'::character varying, 'RERUN'::character varying, 'CHAIN'::character varying])::text[]))),
    CONSTRAINT run_chained CHECK (((chained_from_id IS NULL) OR ((chain_id IS NOT NULL) AND (chain_item IS NOT NULL) AND (chain_depth > 0)))),
    CONSTRAINT run_ends_after_start CHECK ((finished_at >= started_at)),
    CONSTRAINT run_finished_is_over CHECK ((((state)::text = ANY ((ARRAY['QUEUED'::character varying, 'RUNNING'::character varying])::text[])) = (finished_at IS NULL))),
    CONSTRAINT run_overlap CHECK (((overlap)::text = ANY ((ARRAY['SKIP'::character varying, 'ALLOW'::character varying, 'QUEUE_ONE'::character varying, 'QUEUE_ALL'::character varying, 'CANCEL_RUNNING'::character varying])::text[]))),
    CONSTRAINT run_range CHECK ((range_end >= scheduled_for)),
    CONSTRAINT run_reason CHECK (((reason)::text = ANY ((ARRAY['PAUSED'::character varying, 'STOPPED'::character varying, 'OUTSIDE_WINDOW'::character varying, 'OVERRIDDEN'::character varying, 'ARCHIVED'::character varying, 'CIRCUIT_BREAKER'::character varying, 'DEPENDENCY'::character varying, 'OVERLAP'::character varying, 'TOO_LATE'::character varying, 'COALESCED'::character varying, 'CATCH_UP_NONE'::character varying, 'CALENDAR'::character varying, 'SPACING'::character varying, 'LIMIT'::character varying, 'QUARANTINED'::character varying, 'CANCEL_REQUESTED'::character varying, 'REPLACED'::character varying, 'WORKER_LOST'::character varying, 'TIMEOUT'::character varying, 'ERROR'::character varying, 'REJECTED'::character varying])::text[]))),
    CONSTRAINT run_running_has_lease CHECK ((((state)::text <> 'RUNNING'::text) OR ((fencing_token IS NOT NULL) AND (lease_expires_at IS NOT NULL) AND (started_at IS NOT NULL)))),
    CONSTRAINT run_state CHECK (((state)::text = ANY ((ARRAY['QUEUED'::character varying, 'RUNNING'::character varying, 'SUCCEEDED'::character varying, 'FAILED'::character varying, 'TIMED_OUT'::character varying, 'CANCELLED'::character varying, 'LOST'::character varying, 'SKIPPED'::character varying, 'MISSED'::character varying])::text[])))
)
WITH (fillfactor='80', autovacuum_vacuum_scale_factor='0.02');

CREATE TABLE public.run_log (
    run_id uuid NOT NULL,
    sequence integer NOT NULL,
    line_count integer NOT NULL,
    attempt integer NOT NULL,
    dropped integer NOT NULL,
    lines jsonb NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0.02');

CREATE TABLE public.schedule (
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    job_id uuid NOT NULL,
    key character varying(200) NOT NULL,
    name character varying(200) NOT NULL,
    description text,
    version integer NOT NULL,
    revision integer NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    archived_at timestamp with time zone,
    created_by jsonb,
    updated_by jsonb,
    owner jsonb,
    state character varying(32) NOT NULL,
    state_reason text,
    paused_at timestamp with time zone,
    paused_by jsonb,
    paused_until timestamp with time zone,
    resume_with character varying(32),
    last_error jsonb,
    timings jsonb NOT NULL,
    timezone character varying(100) NOT NULL,
    dst_gap character varying(32) NOT NULL,
    dst_fold character varying(32) NOT NULL,
    start_at timestamp with time zone,
    end_at timestamp with time zone,
    max_runs integer,
    jitter_seconds double precision NOT NULL,
    overlap character varying(32) NOT NULL,
    catch_up character varying(32) NOT NULL,
    catch_up_window_seconds double precision NOT NULL,
    catch_up_limit integer NOT NULL,
    pause_after_failures integer,
    parameters jsonb NOT NULL,
    priority integer,
    tags jsonb NOT NULL,
    definition_hash character varying(64) NOT NULL,
    cursor_at timestamp with time zone NOT NULL,
    next_run_at timestamp with time zone,
    runs_made integer NOT NULL,
    calendar_ids uuid[] DEFAULT '{}'::uuid[] NOT NULL,
    calendar_mode character varying(32) DEFAULT 'EXCLUDE'::character varying NOT NULL,
    effective_from timestamp with time zone,
    timing_before jsonb,
    has_overrides boolean DEFAULT false NOT NULL,
    spacing_seconds double precision,
    overlap_limit integer,
    catch_up_rate_per_minute integer,
    probe_after_seconds double precision,
    last_start_at timestamp with time zone,
    probe_at timestamp with time zone,
    probe_run_id uuid,
    passed_over timestamp with time zone[] DEFAULT '{}'::timestamp with time zone[] NOT NULL,
    CONSTRAINT schedule_calendar_mode CHECK (((calendar_mode)::text = ANY ((ARRAY['EXCLUDE'::character varying, 'MOVE_PREVIOUS'::character varying, 'MOVE_NEXT'::character varying])::text[]))),
    CONSTRAINT schedule_catch_up CHECK (((catch_up)::text = ANY ((ARRAY['NONE'::character varying, 'LATEST'::character varying, 'ALL'::character varying])::text[]))),
    CONSTRAINT schedule_catch_up_rate CHECK ((catch_up_rate_per_minute > 0)),
    CONSTRAINT schedule_dst_fold CHECK (((dst_fold)::text = ANY ((ARRAY['FIRST'::character varying, 'LAST'::character varying, 'BOTH'::character varying])::text[]))),
    CONSTRAINT schedule_dst_gap CHECK (((dst_gap)::text = ANY ((ARRAY['RUN_AT_GAP_END'::character varying, 'SHIFT'::character varying, 'SKIP'::character varying])::text[]))),
    CONSTRAINT schedule_jitter CHECK ((jitter_seconds >= (0)::double precision)),
    CONSTRAINT schedule_max_runs CHECK ((max_runs > 0)),
    CONSTRAINT schedule_next_after_cursor CHECK ((next_run_at > cursor_at)),
    CONSTRAINT schedule_only_active_is_due CHECK ((((state)::text = 'ACTIVE'::text) OR (next_run_at IS NULL))),
    CONSTRAINT schedule_overlap CHECK (((overlap)::text = ANY ((ARRAY['SKIP'::character varying, 'ALLOW'::character varying, 'QUEUE_ONE'::character varying, 'QUEUE_ALL'::character varying, 'CANCEL_RUNNING'::character varying])::text[]))),
    CONSTRAINT schedule_overlap_limit CHECK ((overlap_limit > 0)),
    CONSTRAINT schedule_probe_after CHECK ((probe_after_seconds > (0)::double precision)),
    CONSTRAINT schedule_resume_with CHECK (((resume_with)::text = ANY ((ARRAY['SKIP'::character varying, 'LATEST'::character varying, 'ALL'::character varying, 'DRIP'::character varying])::text[]))),
    CONSTRAINT schedule_spacing CHECK ((spacing_seconds > (0)::double precision)),
    CONSTRAINT schedule_state CHECK (((state)::text = ANY ((ARRAY['ACTIVE'::character varying, 'PAUSED'::character varying, 'COMPLETED'::character varying, 'EXPIRED'::character varying, 'QUARANTINED'::character varying, 'ARCHIVED'::character varying])::text[]))),
    CONSTRAINT schedule_window CHECK ((end_at > start_at))
)
WITH (fillfactor='80', autovacuum_vacuum_scale_factor='0.02');

CREATE TABLE public.schedule_counters (
    schedule_id uuid NOT NULL,
    revision integer NOT NULL,
    run_count integer NOT NULL,
    success_count integer NOT NULL,
    failure_count integer NOT NULL,
    skip_count integer NOT NULL,
    miss_count integer NOT NULL,
    consecutive_failures integer NOT NULL,
    last_run_at timestamp with time zone,
    last_run_id uuid,
    last_success_for timestamp with time zone
)
WITH (autovacuum_vacuum_scale_factor='0.02', fillfactor='50');

CREATE TABLE public.schedule_search (
    schedule_id uuid NOT NULL,
    project_id uuid NOT NULL,
    name character varying(200) NOT NULL,
    words tsvector NOT NULL,
    facets text[] NOT NULL
);

CREATE TABLE public.schedule_version (
    id uuid NOT NULL,
    schedule_id uuid NOT NULL,
    sequence integer NOT NULL,
    version integer NOT NULL,
    at timestamp with time zone NOT NULL,
    by jsonb,
    change character varying(32) NOT NULL,
    comment text,
    diff jsonb NOT NULL,
    snapshot jsonb NOT NULL,
    CONSTRAINT schedule_version_change CHECK (((change)::text = ANY ((ARRAY['CREATED'::character varying, 'UPDATED'::character varying, 'PAUSED'::character varying, 'RESUMED'::character varying, 'COMPLETED'::character varying, 'EXPIRED'::character varying, 'QUARANTINED'::character varying, 'ROLLED_BACK'::character varying, 'ARCHIVED'::character varying, 'FIRED'::character varying, 'RUN_FINISHED'::character varying, 'OVERRIDDEN'::character varying])::text[])))
);

CREATE TABLE public.scheduler_state (
    id integer NOT NULL,
    state character varying(32) NOT NULL,
    reason text,
    changed_by jsonb,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    version integer NOT NULL,
    drain_until timestamp with time zone,
    is_emergency boolean DEFAULT false NOT NULL,
    CONSTRAINT scheduler_state_is_one_row CHECK ((id = 1)),
    CONSTRAINT scheduler_state_word CHECK (((state)::text = ANY ((ARRAY['RUNNING'::character varying, 'PAUSED'::character varying, 'DRAINING'::character varying, 'STOPPED'::character varying])::text[])))
);

CREATE SEQUENCE public.scheduler_state_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.scheduler_state_id_seq OWNED BY public.scheduler_state.id;

CREATE TABLE public.secret (
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    key character varying(200) NOT NULL,
    version integer NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    created_by jsonb,
    updated_by jsonb,
    key_id character varying(64) NOT NULL,
    sealed bytea NOT NULL
);

CREATE TABLE public.template (
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    key character varying(200) NOT NULL,
    name character varying(200) NOT NULL,
    description character varying,
    version integer NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    created_by jsonb,
    updated_by jsonb,
    parameters_schema jsonb,
    defaults jsonb NOT NULL
);

CREATE TABLE public.viewer_preference (
    actor_kind character varying(32) NOT NULL,
    actor_id text NOT NULL,
    timezone character varying(100) NOT NULL,
    CONSTRAINT viewer_actor_kind CHECK (((actor_kind)::text = ANY ((ARRAY['TOKEN'::character varying, 'USER'::character varying, 'SYSTEM'::character varying])::text[])))
);

CREATE TABLE public.worker (
    id uuid NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    version text NOT NULL,
    state character varying(32) NOT NULL,
    queues text[] NOT NULL,
    slots integer NOT NULL,
    busy integer NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    heartbeat_at timestamp with time zone DEFAULT now() NOT NULL,
    last_tick_at timestamp with time zone,
    asked_to character varying(32),
    drain_seconds double precision,
    confinement jsonb,
    CONSTRAINT worker_asked_to CHECK (((asked_to)::text = ANY ((ARRAY['DRAIN'::character varying, 'RESTART'::character varying])::text[]))),
    CONSTRAINT worker_state CHECK (((state)::text = ANY ((ARRAY['ONLINE'::character varying, 'DRAINING'::character varying, 'LOST'::character varying, 'STOPPED'::character varying])::text[])))
)
WITH (fillfactor='50');

CREATE TABLE public.zone_rules (
    id integer NOT NULL,
    version character varying(32),
    reached_id uuid,
    is_complete boolean NOT NULL,
    moved_count integer NOT NULL,
    CONSTRAINT zone_rules_is_one_row CHECK ((id = 1))
);

CREATE SEQUENCE public.zone_rules_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.zone_rules_id_seq OWNED BY public.zone_rules.id;

ALTER TABLE ONLY public.health_round ALTER COLUMN id SET DEFAULT nextval('public.health_round_id_seq'::regclass);

ALTER TABLE ONLY public.notification_feed ALTER COLUMN id SET DEFAULT nextval('public.notification_feed_id_seq'::regclass);

ALTER TABLE ONLY public.scheduler_state ALTER COLUMN id SET DEFAULT nextval('public.scheduler_state_id_seq'::regclass);

ALTER TABLE ONLY public.zone_rules ALTER COLUMN id SET DEFAULT nextval('public.zone_rules_id_seq'::regclass);

ALTER TABLE ONLY public.api_token
    ADD CONSTRAINT api_token_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.attempt
    ADD CONSTRAINT attempt_pkey PRIMARY KEY (run_id, number);

ALTER TABLE ONLY public.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.audit_seal
    ADD CONSTRAINT audit_seal_audit_id_key UNIQUE (audit_id);

ALTER TABLE ONLY public.audit_seal
    ADD CONSTRAINT audit_seal_pkey PRIMARY KEY ("position");

ALTER TABLE ONLY public.audit_unsealed
    ADD CONSTRAINT audit_unsealed_pkey PRIMARY KEY (audit_id);

ALTER TABLE ONLY public.backfill
    ADD CONSTRAINT backfill_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.calendar
    ADD CONSTRAINT calendar_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.chain
    ADD CONSTRAINT chain_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.endpoint
    ADD CONSTRAINT endpoint_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.endpoint_token
    ADD CONSTRAINT endpoint_token_pkey PRIMARY KEY (endpoint_id);

ALTER TABLE ONLY public.event
    ADD CONSTRAINT event_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.halt
    ADD CONSTRAINT halt_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.health_finding
    ADD CONSTRAINT health_finding_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.health_round
    ADD CONSTRAINT health_round_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.idempotency
    ADD CONSTRAINT idempotency_pkey PRIMARY KEY (project_id, key);

ALTER TABLE ONLY public.job
    ADD CONSTRAINT job_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.login_code
    ADD CONSTRAINT login_code_pkey PRIMARY KEY (code_hash);

ALTER TABLE ONLY public.notification_feed
    ADD CONSTRAINT notification_feed_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.notification_message
    ADD CONSTRAINT notification_message_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.notification
    ADD CONSTRAINT notification_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.notification_rule
    ADD CONSTRAINT notification_rule_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.occurrence_override
    ADD CONSTRAINT occurrence_override_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.project
    ADD CONSTRAINT project_key_key UNIQUE (key);

ALTER TABLE ONLY public.project
    ADD CONSTRAINT project_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.queue
    ADD CONSTRAINT queue_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.run_log
    ADD CONSTRAINT run_log_pkey PRIMARY KEY (run_id, sequence);

ALTER TABLE ONLY public.run
    ADD CONSTRAINT run_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.schedule_counters
    ADD CONSTRAINT schedule_counters_pkey PRIMARY KEY (schedule_id);

ALTER TABLE ONLY public.schedule
    ADD CONSTRAINT schedule_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.schedule_search
    ADD CONSTRAINT schedule_search_pkey PRIMARY KEY (schedule_id);

ALTER TABLE ONLY public.schedule_version
    ADD CONSTRAINT schedule_version_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.scheduler_state
    ADD CONSTRAINT scheduler_state_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.secret
    ADD CONSTRAINT secret_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.template
    ADD CONSTRAINT template_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.viewer_preference
    ADD CONSTRAINT viewer_preference_pkey PRIMARY KEY (actor_kind, actor_id);

ALTER TABLE ONLY public.worker
    ADD CONSTRAINT worker_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.zone_rules
    ADD CONSTRAINT zone_rules_pkey PRIMARY KEY (id);

CREATE INDEX audit_list ON public.audit USING btree (project_id, id);

CREATE INDEX audit_of_subject ON public.audit USING btree (subject_id, id);

CREATE INDEX backfill_list ON public.backfill USING btree (project_id, id);

CREATE INDEX backfill_of_schedule ON public.backfill USING btree (schedule_id, id);

CREATE INDEX backfill_step ON public.backfill USING btree (step_at, id) WHERE (step_at IS NOT NULL);

CREATE UNIQUE INDEX calendar_key ON public.calendar USING btree (project_id, key);

CREATE INDEX chain_list ON public.chain USING btree (project_id, id);

CREATE UNIQUE INDEX chain_of_job ON public.chain USING btree (job_id, target_id);

CREATE INDEX chain_to_job ON public.chain USING btree (target_id);

CREATE UNIQUE INDEX endpoint_key ON public.endpoint USING btree (project_id, key);

CREATE INDEX event_at ON public.event USING btree (at);

CREATE INDEX event_transaction ON public.event USING btree (transaction_id, id);

CREATE INDEX halt_ended ON public.halt USING btree (ended_at);

CREATE INDEX health_finding_list ON public.health_finding USING btree (project_id, id);

CREATE INDEX health_finding_of_schedule ON public.health_finding USING btree (schedule_id);

CREATE UNIQUE INDEX health_finding_open ON public.health_finding USING btree (code, subject) WHERE (resolved_at IS NULL);

CREATE INDEX health_finding_resolved ON public.health_finding USING btree (resolved_at) WHERE (resolved_at IS NOT NULL);

CREATE INDEX idempotency_at ON public.idempotency USING btree (created_at);

CREATE INDEX job_archived ON public.job USING btree (archived_at) WHERE (archived_at IS NOT NULL);

CREATE UNIQUE INDEX job_key ON public.job USING btree (project_id, key) WHERE (archived_at IS NULL);

CREATE INDEX job_list ON public.job USING btree (project_id, id);

CREATE INDEX job_words ON public.job USING gin (public.words_in((key)::text, (name)::text, description, tags));

CREATE INDEX notification_message_due ON public.notification_message USING btree (next_attempt_at) WHERE ((state)::text = 'WAITING'::text);

CREATE INDEX notification_message_of_rule ON public.notification_message USING btree (rule_id);

CREATE INDEX notification_message_old ON public.notification_message USING btree (created_at) WHERE ((state)::text <> 'WAITING'::text);

CREATE UNIQUE INDEX notification_occurrence ON public.notification USING btree (rule_id, occurrence);

CREATE INDEX notification_of_message ON public.notification USING btree (message_id);

CREATE UNIQUE INDEX notification_rule_key ON public.notification_rule USING btree (project_id, key);

CREATE INDEX notification_untold ON public.notification USING btree (rule_id, id) WHERE (message_id IS NULL);

CREATE UNIQUE INDEX occurrence_override_at ON public.occurrence_override USING btree (schedule_id, at) WHERE (undone_at IS NULL);

CREATE INDEX run_again ON public.run USING btree (schedule_id, scheduled_for) WHERE ((cause)::text = ANY ((ARRAY['RERUN'::character varying, 'BACKFILL'::character varying])::text[]));

CREATE INDEX run_blocked ON public.run USING btree (schedule_id, job_id) WHERE (((state)::text = 'QUEUED'::text) AND (blocked_at IS NOT NULL));

CREATE INDEX run_busy ON public.run USING btree (schedule_id, next_attempt_at) WHERE (((state)::text = ANY ((ARRAY['QUEUED'::character varying, 'RUNNING'::character varying])::text[])) AND (schedule_id IS NOT NULL));

CREATE INDEX run_busy_backfill ON public.run USING btree (backfill_id, scheduled_for) WHERE (((state)::text = ANY ((ARRAY['QUEUED'::character varying, 'RUNNING'::character varying])::text[])) AND (backfill_id IS NOT NULL));

CREATE INDEX run_busy_job ON public.run USING btree (job_id) WHERE ((state)::text = 'RUNNING'::text);

CREATE INDEX run_finished ON public.run USING btree (project_id, finished_at, id) WHERE (finished_at IS NOT NULL);

CREATE INDEX run_held ON public.run USING btree (queue, tier, priority DESC, next_attempt_at, id) WHERE (((state)::text = 'QUEUED'::text) AND (blocked_at IS NOT NULL) AND blocked_on_queue);

CREATE INDEX run_list ON public.run USING btree (project_id, id);

CREATE UNIQUE INDEX run_occurrence ON public.run USING btree (schedule_id, scheduled_for) WHERE ((cause)::text = ANY ((ARRAY['SCHEDULE'::character varying, 'CATCH_UP'::character varying])::text[]));

CREATE UNIQUE INDEX run_of_backfill ON public.run USING btree (backfill_id, scheduled_for) WHERE (backfill_id IS NOT NULL);

CREATE UNIQUE INDEX run_of_chain ON public.run USING btree (chained_from_id, chain_id, chain_item) WHERE (chained_from_id IS NOT NULL);

CREATE INDEX run_of_job ON public.run USING btree (job_id, id);

CREATE INDEX run_of_schedule ON public.run USING btree (schedule_id, id) WHERE (schedule_id IS NOT NULL);

CREATE INDEX run_queue ON public.run USING btree (tier, priority DESC, next_attempt_at, id) WHERE (((state)::text = 'QUEUED'::text) AND (blocked_at IS NULL));

CREATE INDEX run_range ON public.run USING btree (schedule_id, scheduled_for DESC) INCLUDE (range_end, id) WHERE (range_end IS NOT NULL);

CREATE INDEX run_reason ON public.run USING btree (project_id, reason, id) WHERE (reason IS NOT NULL);

CREATE INDEX run_times ON public.run USING brin (scheduled_for) WITH (pages_per_range='32', autosummarize='on');

CREATE INDEX run_uncounted ON public.run USING btree (id) WHERE ((range_end IS NOT NULL) AND (range_count IS NULL) AND ((reason)::text IS DISTINCT FROM 'CIRCUIT_BREAKER'::text));

CREATE INDEX run_unsuccessful ON public.run USING btree (project_id, state, id) WHERE ((state)::text = ANY ((ARRAY['FAILED'::character varying, 'TIMED_OUT'::character varying, 'CANCELLED'::character varying, 'LOST'::character varying, 'SKIPPED'::character varying, 'MISSED'::character varying])::text[]));

CREATE INDEX schedule_archived ON public.schedule USING btree (archived_at) WHERE (archived_at IS NOT NULL);

CREATE INDEX schedule_aside ON public.schedule USING btree (state, project_id, id) WHERE (next_run_at IS NULL);

CREATE INDEX schedule_calendars ON public.schedule USING gin (calendar_ids) WHERE (calendar_ids <> '{}'::uuid[]);

CREATE INDEX schedule_due ON public.schedule USING btree (next_run_at, id) WHERE (next_run_at IS NOT NULL);

CREATE INDEX schedule_failing ON public.schedule_counters USING btree (schedule_id) WHERE (consecutive_failures > 0);

CREATE INDEX schedule_failures ON public.schedule_counters USING btree (failure_count, schedule_id);

CREATE UNIQUE INDEX schedule_key ON public.schedule USING btree (project_id, key) WHERE (archived_at IS NULL);

CREATE INDEX schedule_list ON public.schedule USING btree (project_id, id);

CREATE INDEX schedule_name ON public.schedule_search USING btree (project_id, name, schedule_id);

CREATE INDEX schedule_of_job ON public.schedule USING btree (job_id, id);

CREATE INDEX schedule_paused_until ON public.schedule USING btree (paused_until) WHERE (((state)::text = 'PAUSED'::text) AND (paused_until IS NOT NULL));

CREATE INDEX schedule_paused_window ON public.schedule USING btree (end_at) WHERE (((state)::text = 'PAUSED'::text) AND (paused_until IS NULL) AND (end_at IS NOT NULL));

CREATE INDEX schedule_probe ON public.schedule USING btree (probe_at) WHERE (((state)::text = 'PAUSED'::text) AND (probe_at IS NOT NULL));

CREATE INDEX schedule_same_definition ON public.schedule USING btree (project_id, definition_hash) WHERE (archived_at IS NULL);

CREATE INDEX schedule_turn ON public.schedule USING btree (effective_from) WHERE (effective_from IS NOT NULL);

CREATE UNIQUE INDEX schedule_version_sequence ON public.schedule_version USING btree (schedule_id, sequence) INCLUDE (at, version);

CREATE INDEX schedule_words ON public.schedule_search USING gin (words, facets);

CREATE UNIQUE INDEX secret_key ON public.secret USING btree (project_id, key);

CREATE UNIQUE INDEX template_key ON public.template USING btree (project_id, key);

CREATE TRIGGER audit_is_append_only BEFORE DELETE OR UPDATE ON public.audit FOR EACH ROW EXECUTE FUNCTION public.audit_is_append_only();

CREATE TRIGGER audit_is_never_emptied BEFORE TRUNCATE ON public.audit FOR EACH STATEMENT EXECUTE FUNCTION public.audit_is_append_only();

CREATE TRIGGER audit_is_to_be_sealed AFTER INSERT ON public.audit REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION public.audit_is_to_be_sealed();

CREATE TRIGGER audit_seal_is_append_only BEFORE DELETE OR UPDATE ON public.audit_seal FOR EACH ROW EXECUTE FUNCTION public.audit_is_append_only();

CREATE TRIGGER audit_seal_is_never_emptied BEFORE TRUNCATE ON public.audit_seal FOR EACH STATEMENT EXECUTE FUNCTION public.audit_is_append_only();

CREATE TRIGGER run_has_its_tier BEFORE INSERT ON public.run FOR EACH ROW WHEN (((new.cause)::text = ANY ((ARRAY['CATCH_UP'::character varying, 'BACKFILL'::character varying])::text[]))) EXECUTE FUNCTION public.run_has_its_tier();

CREATE TRIGGER schedule_search AFTER UPDATE OF key, name, description, tags, timezone, timings ON public.schedule FOR EACH ROW EXECUTE FUNCTION public.keep_schedule_search();

CREATE TRIGGER schedule_search_new AFTER INSERT ON public.schedule REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION public.keep_new_schedule_search();

ALTER TABLE ONLY public.api_token
    ADD CONSTRAINT api_token_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(id);

ALTER TABLE ONLY public.attempt
    ADD CONSTRAINT attempt_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.run(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.backfill
    ADD CONSTRAINT backfill_schedule_id_fkey FOREIGN KEY (schedule_id) REFERENCES public.schedule(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.calendar
    ADD CONSTRAINT calendar_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(id);

ALTER TABLE ONLY public.chain
    ADD CONSTRAINT chain_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.job(id);

ALTER TABLE ONLY public.chain
    ADD CONSTRAINT chain_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(id);

ALTER TABLE ONLY public.chain
    ADD CONSTRAINT chain_target_id_fkey FOREIGN KEY (target_id) REFERENCES public.job(id);

ALTER TABLE ONLY public.endpoint
    ADD CONSTRAINT endpoint_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(id);

ALTER TABLE ONLY public.endpoint_token
    ADD CONSTRAINT endpoint_token_endpoint_id_fkey FOREIGN KEY (endpoint_id) REFERENCES public.endpoint(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.health_finding
    ADD CONSTRAINT health_finding_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(id);

ALTER TABLE ONLY public.health_finding
    ADD CONSTRAINT health_finding_schedule_id_fkey FOREIGN KEY (schedule_id) REFERENCES public.schedule(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.job
    ADD CONSTRAINT job_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(id);

ALTER TABLE ONLY public.notification
    ADD CONSTRAINT notification_message_id_fkey FOREIGN KEY (message_id) REFERENCES public.notification_message(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.notification_message
    ADD CONSTRAINT notification_message_rule_id_fkey FOREIGN KEY (rule_id) REFERENCES public.notification_rule(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.notification
    ADD CONSTRAINT notification_rule_id_fkey FOREIGN KEY (rule_id) REFERENCES public.notification_rule(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.notification_rule
    ADD CONSTRAINT notification_rule_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(id);

ALTER TABLE ONLY public.occurrence_override
    ADD CONSTRAINT occurrence_override_schedule_id_fkey FOREIGN KEY (schedule_id) REFERENCES public.schedule(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.run
    ADD CONSTRAINT run_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.job(id);

ALTER TABLE ONLY public.run_log
    ADD CONSTRAINT run_log_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.run(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.run
    ADD CONSTRAINT run_schedule_id_fkey FOREIGN KEY (schedule_id) REFERENCES public.schedule(id);

ALTER TABLE ONLY public.schedule_counters
    ADD CONSTRAINT schedule_counters_schedule_id_fkey FOREIGN KEY (schedule_id) REFERENCES public.schedule(id);

ALTER TABLE ONLY public.schedule
    ADD CONSTRAINT schedule_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.job(id);

ALTER TABLE ONLY public.schedule
    ADD CONSTRAINT schedule_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(id);

ALTER TABLE ONLY public.schedule_search
    ADD CONSTRAINT schedule_search_schedule_id_fkey FOREIGN KEY (schedule_id) REFERENCES public.schedule(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.schedule_version
    ADD CONSTRAINT schedule_version_schedule_id_fkey FOREIGN KEY (schedule_id) REFERENCES public.schedule(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.secret
    ADD CONSTRAINT secret_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(id);

ALTER TABLE ONLY public.template
    ADD CONSTRAINT template_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.project(id);
