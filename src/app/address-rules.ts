/** Which addresses the control plane may connect to, by the settings in force. */
import type { Settings } from '../config/schema.ts'
import { localAddresses } from '../control/registry/addresses.ts'
import { type AddressRules, cidrList, type HostPort } from '../core/addresses.ts'

/** Evaluated at each use: listeners open and settings change after the parts are built. */
export function addressRules(settings: () => Settings, ownListeners: readonly HostPort[]): AddressRules {
  return {
    get allow() {
      return cidrList(Object.values(settings().pools).flatMap((pool) => pool.allowAddresses))
    },
    ownListeners,
    localAddresses,
  }
}
