/** The store through which gateways share facts; implemented beside the shared cache tiers. */
export interface SharedStore {
  /** False while there is no connection; callers then send nothing. */
  readonly connected: boolean
  /** Runs a Lua script at the store, atomically. Rejects within the store's timeout. */
  run(script: string, keys: readonly string[], args: readonly string[]): Promise<unknown>
  close(): void
}
