/** The metrics of snapshots of process memory. */
export const SNAPSHOT_FAMILIES = {
  infergate_snapshot_writes_total: ['counter', 'outcome', 'Snapshots of process memory, by outcome.'],
  infergate_snapshot_entries_total: ['counter', 'outcome', 'Entries of snapshots, by outcome.'],
  infergate_snapshot_unused_total: ['counter', '', 'Snapshots that were not wholly used.'],
  infergate_snapshot_seconds: ['gauge', 'phase', 'Time of the last write or load of a snapshot.'],
  infergate_snapshot_bytes: ['gauge', '', 'Bytes of the last snapshot.'],
  infergate_snapshot_last_success_timestamp_seconds: ['gauge', '', 'When the last one was written.'],
} as const
