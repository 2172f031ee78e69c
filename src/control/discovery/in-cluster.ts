/** How a process inside a Kubernetes cluster reaches the API server: two variables and the service account's files. */
import { join } from 'node:path'
import type { Clock } from '../../lib/clock.ts'
import { readSecret } from '../../lib/regular-file.ts'
import type { ApiServer, FindApiServer } from './kubernetes.ts'

export interface InClusterOptions {
  readonly env: NodeJS.ProcessEnv
  readonly clock: Clock
  /** An API server that is named in place of the cluster's. */
  readonly url?: string
  /** Of the service account. */
  readonly folder?: string
}

const FOLDER = '/var/run/secrets/kubernetes.io/serviceaccount'
/** Bound tokens live an hour, and the kubelet replaces them well before that. */
const REREAD_MS = 60_000

/** Rejects, when it is called outside of a cluster and no API server was named, with what is missing. */
export function inCluster(options: InClusterOptions): FindApiServer {
  const { env, clock, url, folder = FOLDER } = options
  let known: { readonly server: ApiServer; readonly until: number } | undefined

  return async function server(refusedToken) {
    const isRefused = refusedToken !== undefined && known?.server.token === refusedToken
    if (known && !isRefused && known.until > clock.now()) return known.server
    const [token, ca] = await Promise.all([read(join(folder, 'token')), read(join(folder, 'ca.crt'))])
    const at = url ?? serviceUrl(env)
    if (at === undefined) {
      throw new Error('this is no Kubernetes cluster: name the API server as apiServer in the settings')
    }
    const found: ApiServer = { url: at.replace(/\/+$/, ''), token, ca }
    known = { server: found, until: clock.now() + REREAD_MS }
    return found
  }
}

function serviceUrl({
  KUBERNETES_SERVICE_HOST: host,
  KUBERNETES_SERVICE_PORT: port = '443',
}: NodeJS.ProcessEnv): string | undefined {
  if (!host) return undefined
  return `https://${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** Undefined: not there, as outside of a cluster. */
async function read(path: string): Promise<string | undefined> {
  try {
    return await readSecret(path)
  } catch {
    return undefined
  }
}
