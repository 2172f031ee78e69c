/**
 * Every metric of the gateway's own: its type, its labels, and its help. What is counted, the reference page, the board and the
 * alerts are checked against this table. Names follow Prometheus: base units, `_total` for counters and only for them. The
 * values of a label come from a closed set or are bounded; see metrics.ts.
 */
import { ROLLOUT_FAMILIES } from './rollout-families.ts'
import { SNAPSHOT_FAMILIES } from './snapshot-families.ts'

export type MetricType = 'counter' | 'gauge' | 'histogram'

/** By name: the type, the names of the labels with spaces between, and what the metric tells. */
export const FAMILIES = {
  // Calls
  infergate_calls_total: [
    'counter',
    'route cache status',
    'Calls answered, by what the cache did and by status class.',
  ],
  infergate_requests_total: [
    'counter',
    'door',
    'Requests, by the reader that took them from the connection.',
  ],
  infergate_faults_total: ['counter', 'route fault', 'Calls the gateway answered with an error of its own.'],
  infergate_call_seconds: [
    'histogram',
    'route cache',
    'Time from the head of a request to the end of its answer.',
  ],
  infergate_route_info: ['gauge', 'route pool', '1 for each route and each pool that its calls go to.'],
  infergate_route_weight: ['gauge', 'route pool', 'Weight of a pool in the split of a route, in force.'],
  ...ROLLOUT_FAMILIES,
  // Pools and their backends
  infergate_pool_backends: ['gauge', 'pool state', 'Backends, by the state in force.'],
  infergate_pool_changes_total: [
    'counter',
    'pool change',
    'Backends that came (joined) or went (drained, cut, expired), whoever named them.',
  ],
  infergate_pool_panic: ['gauge', 'pool', '1: most backends are ejected, so calls go to all of them.'],
  infergate_pool_failing: ['gauge', 'pool', '1: most backends fail, so none is ejected for it.'],
  infergate_pool_queue_calls: ['gauge', 'pool', 'Calls that wait for a backend.'],
  infergate_pool_queue_wait_seconds: [
    'histogram',
    'pool',
    'Time that calls waited for a backend, of those that had to.',
  ],
  infergate_pool_queue_endings_total: [
    'counter',
    'pool ending',
    'Ends of waits for a backend, and calls that were not let wait.',
  ],
  infergate_pool_slo_seconds: [
    'gauge',
    'pool objective',
    'The promise of the settings: 95 % are no longer than this.',
  ],
  infergate_backend_inflight_calls: ['gauge', 'pool backend', 'Calls that a backend has from this gateway.'],
  infergate_backend_limit_calls: ['gauge', 'pool backend', 'The most calls that a backend gets at a time.'],
  infergate_backend_latency_seconds: [
    'gauge',
    'pool backend',
    'Mean time to the first byte of the last answers of a backend.',
  ],
  infergate_backend_attempts_total: [
    'counter',
    'pool backend ending',
    'Attempts at backends, by how they ended.',
  ],
  infergate_backend_seconds: [
    'histogram',
    'pool',
    'Time an attempt at a backend took, to the end of its answer.',
  ],
  infergate_backend_ejections_total: [
    'counter',
    'pool cause',
    'Ejections of backends from balancing, by cause.',
  ],
  infergate_fallbacks_total: [
    'counter',
    'route pool reason',
    'Calls that went to another pool of their route, because one could not answer.',
  ],
  infergate_mirror_sent_total: ['counter', 'route pool', 'Copies of calls that were sent to a second pool.'],
  infergate_mirror_failed_total: ['counter', 'route pool', 'Copies that the second pool has not answered.'],
  infergate_mirror_dropped_total: [
    'counter',
    'route pool reason',
    'Calls of a mirrored route that were not copied, though they were to be: the reason.',
  ],
  infergate_mirror_compared_total: [
    'counter',
    'route pool result',
    'Answered copies of a route that compares: whether the answer was that of the call.',
  ],
  infergate_mirror_seconds: [
    'histogram',
    'route pool of',
    'Time at the backend of answered copies (of: mirror), and of the calls that they are copies of (of: primary).',
  ],
  infergate_retries_total: ['counter', 'pool reason', 'Attempts that followed another one of the same call.'],
  infergate_hedges_total: [
    'counter',
    'pool outcome',
    'Second tries sent for a late first one, by which was faster.',
  ],
  infergate_backend_reported_calls: [
    'gauge',
    'pool backend state',
    'Calls that a backend says it has, by state.',
  ],
  infergate_backend_reported_utilization: [
    'gauge',
    'pool backend',
    'The share of its KV cache, or of itself, that a backend says is in use.',
  ],
  infergate_backend_load_unknown: [
    'gauge',
    'pool backend reason',
    '1: there is no report of the load of a backend, or it is ignored, and why.',
  ],
  // The cache
  infergate_cache_memory_bytes: ['gauge', '', 'Bytes of the entries in process memory.'],
  infergate_cache_memory_max_bytes: ['gauge', '', 'Bytes that entries in process memory may take.'],
  infergate_cache_memory_entries: ['gauge', '', 'Entries in process memory.'],
  infergate_cache_memory_lookups_total: [
    'counter',
    'outcome',
    'Look-ups of entries in process memory: hit or miss.',
  ],
  infergate_cache_memory_stores_total: [
    'counter',
    'outcome',
    'Entries for process memory: stored, or refused as too large or too old.',
  ],
  infergate_cache_memory_evictions_total: [
    'counter',
    '',
    'Entries that process memory has dropped to make room.',
  ],
  ...SNAPSHOT_FAMILIES,
  infergate_cache_operations_total: [
    'counter',
    'tier operation outcome',
    'Operations on cache tiers, by outcome.',
  ],
  infergate_cache_lookup_seconds: ['histogram', 'tier', 'Time of look-ups in shared tiers.'],
  infergate_cache_tier_breakers: [
    'gauge',
    'tier operation state',
    'Circuit breakers of a shared tier, one a worker for reads and one for writes, by state.',
  ],
  infergate_cache_tier_writes_total: [
    'counter',
    'tier outcome',
    'Entries for a shared tier: stored, failed, or dropped from a full queue.',
  ],
  infergate_cache_tier_queue_writes: ['gauge', 'tier', 'Entries that wait to be written to a shared tier.'],
  infergate_cache_tier_queue_bytes: [
    'gauge',
    'tier',
    'Bytes of the entries that wait to be written to a shared tier.',
  ],
  infergate_cache_garbled_total: [
    'counter',
    'tier',
    'Values of a shared tier that are no entry of their key, or one of another schema.',
  ],
  infergate_cache_unstorable_total: [
    'counter',
    '',
    'Entries that break a bound of their envelope and were stored nowhere.',
  ],
  infergate_cache_unverified_total: [
    'counter',
    'tier',
    'Values and facts of sealed tiers that nobody with the secret has written.',
  ],
  infergate_cache_rows_total: ['counter', 'model result', 'Rows of calls that were answered row by row.'],
  infergate_cache_row_splitting_total: [
    'counter',
    'model state',
    'Changes of whether a model is answered row by row: proved, refused, suspended.',
  ],
  // Generations
  infergate_gen_ai_tokens_total: ['counter', 'model type', 'Tokens that backends say they took.'],
  infergate_saved_tokens_total: [
    'counter',
    'model type',
    'Tokens that calls would have taken of a backend, and did not.',
  ],
  infergate_gen_ai_time_to_first_token_seconds: [
    'histogram',
    'model',
    'Time from the request to the first token.',
  ],
  infergate_gen_ai_time_per_output_token_seconds: [
    'histogram',
    'model',
    'Mean time between two tokens of one answer.',
  ],
  // Tenants
  infergate_tenant_calls_total: ['counter', 'tenant cache', 'Calls of a tenant, by what the cache did.'],
  infergate_tenant_hits_total: [
    'counter',
    'tenant tier',
    'Calls of a tenant that a cache has answered, by tier.',
  ],
  infergate_tenant_rows_total: [
    'counter',
    'tenant result',
    'Rows of answered calls of a tenant; a call that is not read into rows is one.',
  ],
  infergate_tenant_tokens_total: [
    'counter',
    'tenant type',
    'Tokens that backends have taken for a tenant with a limit of tokens, by type.',
  ],
  infergate_tenant_saved_tokens_total: [
    'counter',
    'tenant type',
    'Tokens of generations that a tenant was given without the work of a backend, by type.',
  ],
  infergate_tenant_refused_total: [
    'counter',
    'tenant reason',
    'Calls of a tenant that were refused, by reason; without a name: who sent them was not known.',
  ],
  // Scaling
  infergate_scale_desired_replicas: ['gauge', 'pool', 'Replicas there should be.'],
  infergate_scale_max_replicas: ['gauge', 'pool', 'The most replicas that the settings allow.'],
  infergate_scale_capped: ['gauge', 'pool', '1: more replicas are needed than the settings allow.'],
  infergate_scale_ready_replicas: ['gauge', 'pool', 'Replicas that serve.'],
  infergate_scale_starting_replicas: ['gauge', 'pool', 'Replicas on their way.'],
  infergate_scale_misses_per_second: ['gauge', 'pool', 'Calls that need a backend, as the scaler sees them.'],
  infergate_scale_hit_ratio: ['gauge', 'pool', 'Share of the calls that need none.'],
  infergate_scale_concurrency: ['gauge', 'pool', 'Calls at the backends and waiting.'],
  infergate_scale_concurrency_p95: ['gauge', 'pool', 'What 95 % of the tenths of a second stay under.'],
  infergate_scale_busy_slots: ['gauge', 'pool', 'Slots the misses keep busy.'],
  infergate_scale_needed_slots: ['gauge', 'pool', 'Slots the promise needs.'],
  infergate_scale_tokens_per_second: [
    'gauge',
    'pool',
    'Tokens that the misses ask for, where a pool is scaled by them.',
  ],
  infergate_scale_replica_tokens_per_second: [
    'gauge',
    'pool',
    'Tokens that a replica makes within the promise.',
  ],
  infergate_scale_queue: ['gauge', 'pool', 'Calls that wait.'],
  infergate_scale_ineffective: ['gauge', 'pool', '1: the last replicas did not help.'],
  infergate_scale_slo_feasible: ['gauge', 'pool', '0: no number of replicas keeps the promise.'],
  // Prediction logs
  infergate_prediction_log_records_total: [
    'counter',
    'route outcome',
    'Predictions for the log: written, or not, and why (queue, size, incomplete, unmapped, spool, failed).',
  ],
  infergate_prediction_log_files_total: [
    'counter',
    'to event',
    'Files of prediction logs: published, or tried again because the far side did not take one.',
  ],
  infergate_prediction_log_queue_bytes: ['gauge', '', 'Bytes that wait to be written.'],
  // The gateway itself
  infergate_build_info: ['gauge', 'version node', '1, with the version of the gateway and of Node.'],
  infergate_ready: ['gauge', '', '1: /readyz answers 200.'],
  infergate_problems: [
    'gauge',
    'part',
    'What /readyz names that does not make the gateway unready, by part.',
  ],
  infergate_workers: ['gauge', '', 'Data workers that take calls.'],
  infergate_worker_calls_total: ['counter', 'worker', 'Calls answered, by the data worker that did.'],
  infergate_worker_exits_total: [
    'counter',
    'cause',
    'Ends of data workers that nobody asked for: crashed, or ended because they hung.',
  ],
  infergate_config_reloads_total: ['counter', 'outcome', 'Reloads of the settings.'],
  infergate_config_last_reload_successful: ['gauge', '', '1: the settings that were read last are in force.'],
  infergate_config_last_reload_success_timestamp_seconds: [
    'gauge',
    '',
    'When settings were last taken over, in seconds since 1970.',
  ],
  infergate_log_lines_lost_total: [
    'counter',
    '',
    'Lines of the log that could not be written: nobody reads it, or the disk is full.',
  ],
  infergate_traced_calls_total: [
    'counter',
    'outcome',
    'Traced calls: exported, or lost, since the collector is away, slow or full.',
  ],
  infergate_access_log_lines_lost_total: [
    'counter',
    'at',
    'Lines of the access log that were lost: on the way between threads (queue), or since standard output is slow (output).',
  ],
  infergate_tls_handshakes_total: [
    'counter',
    'tls outcome',
    'TLS handshakes of clients, by how they ended: ok, http (plain HTTP was sent), late, full (too many at a time), untrusted (the certificate of the client), failed.',
  ],
  infergate_tls_certificate_expiry_timestamp_seconds: [
    'gauge',
    'tls file',
    'When a certificate of the gateway expires, in seconds since 1970.',
  ],
  infergate_foreign_connections_total: [
    'counter',
    '',
    'Connections that were closed without an answer, since they begin in another protocol than HTTP.',
  ],
  infergate_model_process_exits_total: [
    'counter',
    'model',
    'Ends of embedded model processes that nobody asked for.',
  ],
  infergate_model_store_up: ['gauge', 'model', '0: the store of a model is away.'],
  infergate_model_store_operations_total: [
    'counter',
    'model operation outcome',
    'Looks at the stores of embedded models and fetches from them, by outcome.',
  ],
} as const satisfies Record<string, readonly [type: MetricType, labels: string, help: string]>

type Families = typeof FAMILIES
type Words<S extends string> = S extends `${infer First} ${infer Rest}`
  ? First | Words<Rest>
  : S extends ''
    ? never
    : S

export type FamilyName<T extends MetricType = MetricType> = {
  [N in keyof Families]: Families[N][0] extends T ? N : never
}[keyof Families]

/** The labels of a sample of a metric, all of them. */
export type LabelsOf<N extends FamilyName> = Readonly<Record<Words<Families[N][1]>, string>>
