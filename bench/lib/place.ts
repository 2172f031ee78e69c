/** Where a server is started: what it stands in front of, what it may use, where its files are. */
export interface Place {
  /** For configurations, logs and caches; in memory where there is /dev/shm. */
  readonly folder: string
  readonly port: number
  readonly backendPort: number
  /** As taskset has them. */
  readonly cores: string
  /** Bytes a body may have. */
  readonly bodyBytes: number
  /** MiB that a cache in memory may take. */
  readonly cacheMiB: number
  readonly rows: 'auto' | 'always'
  /** Options for Node itself, where the server runs on it. */
  readonly nodeArgs: readonly string[]
}
