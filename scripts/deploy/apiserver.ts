/** The API server of a cluster, asked as its administrator or as somebody with a token. */
import { request } from 'node:https'
import { text } from 'node:stream/consumers'
import type { Cluster } from '../../interop/systems/kubernetes/cluster.ts'
import type { Manifest } from './manifests.ts'

const DEADLINE_MS = 30_000
const MANAGER = 'check-deploy'

/** What it refused, with its reason. */
export class Refused extends Error {
  override readonly name = 'Refused'
}

export interface Apiserver {
  /** The body of its answer; rejects with Refused. */
  ask(method: string, path: string, body?: unknown): Promise<unknown>
  /** As `kubectl apply --server-side`, and no field is unknown; only tried where `dryRun`. */
  apply(object: Manifest, dryRun?: boolean): Promise<void>
}

/** As whoever has the token; the administrator, where none is given. */
export function apiserverOf({ url, ca, kubeconfig }: Cluster, token = adminToken(kubeconfig)): Apiserver {
  const send = (method: string, path: string, { type, body }: { type: string; body?: unknown }) =>
    new Promise<unknown>((resolve, reject) => {
      const sent = request(new URL(path, url), {
        method,
        ca,
        agent: false,
        headers: { authorization: `Bearer ${token}`, 'content-type': type },
        signal: AbortSignal.timeout(DEADLINE_MS),
      })
      sent.on('error', reject)
      sent.on('response', (response) => {
        const { statusCode = 0 } = response
        const answered = (answer: string) =>
          statusCode < 300
            ? resolve(JSON.parse(answer))
            : reject(new Refused(`${method} ${path}: ${statusCode} ${answer}`))
        text(response).then(answered, reject)
      })
      sent.end(body === undefined ? undefined : JSON.stringify(body))
    })
  const ask = (method: string, path: string, body?: unknown) =>
    send(method, path, { type: 'application/json', body })
  return {
    ask,
    async apply(object, dryRun = false) {
      const { collection } = await placeOf(ask, object)
      const query = `fieldManager=${MANAGER}&fieldValidation=Strict&force=true${dryRun ? '&dryRun=All' : ''}`
      const path = `${collection}/${object.metadata.name}?${query}`
      await send('PATCH', path, { type: 'application/apply-patch+yaml', body: object })
    },
  }
}

const adminToken = (kubeconfig: string): string =>
  (JSON.parse(kubeconfig) as { users: readonly [{ user: { token: string } }] }).users[0].user.token

interface Resources {
  readonly resources: readonly {
    readonly name: string
    readonly kind: string
    readonly namespaced: boolean
  }[]
}

/** The path of the objects of this kind, in the namespace of this one. */
async function placeOf(
  ask: Apiserver['ask'],
  { apiVersion, kind, metadata }: Manifest,
): Promise<{ readonly collection: string }> {
  const group = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`
  const { resources } = (await ask('GET', group)) as Resources
  const resource = resources.find((one) => one.kind === kind && !one.name.includes('/'))
  if (!resource) throw new Refused(`${group} has no ${kind}`)
  const within = resource.namespaced ? `/namespaces/${metadata.namespace ?? 'default'}` : ''
  return { collection: `${group}${within}/${resource.name}` }
}
