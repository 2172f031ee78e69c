/** All credentials that do not simply stand in the settings: those by which callers are known, and those that backends are shown. */
import { readCredential } from '../config/credential-file.ts'
import type { ApiKeySettings, Settings } from '../config/schema.ts'
import { BackendCredentialStore } from '../control/credentials/backend-credentials.ts'
import { CredentialStore } from '../control/credentials/credentials.ts'
import type { BackendCredential } from '../core/backend-credential.ts'
import type { Log } from '../core/log.ts'
import type { Clock } from '../lib/clock.ts'
import { own } from '../lib/own.ts'
import type { AdminCallers } from './admin-callers.ts'
import { readApiKeys } from './api-keys/api-keys.ts'
import { credentialSources } from './settings-mapping.ts'
import type { DataPlanes } from './workers/data-planes.ts'

export { CredentialsError } from '../control/credentials/credentials-error.ts'

export interface CredentialsParts {
  readonly clock: Clock
  readonly log: Log
  readonly random: () => number
  readonly data: Pick<DataPlanes, 'credentials' | 'authorize'>
  readonly admin: Pick<AdminCallers, 'credentials'>
}

export class GatewayCredentials {
  readonly #callers: CredentialStore<ApiKeySettings>
  readonly #backends: BackendCredentialStore

  constructor({ data, admin, ...around }: CredentialsParts) {
    this.#callers = new CredentialStore({
      ...around,
      readKeys: readApiKeys,
      changed(credentials) {
        data.credentials(credentials)
        admin.credentials(credentials)
      },
    })
    this.#backends = new BackendCredentialStore({
      ...around,
      read: readCredential,
      changed: (credentials) => data.authorize(credentials),
    })
  }

  /** Takes over what these settings name. Rejects, and changes nothing, where a file cannot be used. */
  async follow(settings: Settings): Promise<void> {
    const take = await this.#backends.prepare(credentialSources(settings))
    await this.#callers.follow(settings.auth)
    take()
  }

  /** What the pool's backends are shown; undefined: nothing. */
  ofPool(name: string): BackendCredential | undefined {
    return own(this.#backends.current, name)
  }

  /** A token names a key that the set at this place does not have. Never rejects. */
  keyMissing(place: string): Promise<void> {
    return this.#callers.keyMissing(place)
  }

  get problems(): readonly string[] {
    return [...this.#callers.problems, ...this.#backends.problems]
  }

  stop(): void {
    this.#callers.stop()
    this.#backends.stop()
  }
}
