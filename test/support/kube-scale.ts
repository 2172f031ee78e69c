/** A Kubernetes API server as far as the scale subresource goes, with the real wire format. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface KubeScale {
  readonly url: string
  replicas: number
  /** Every request, as `METHOD path`. */
  readonly asked: string[]
  readonly patches: {
    readonly type: string | undefined
    readonly body: unknown
    readonly token: string | undefined
  }[]
  /** Names of objects that a HorizontalPodAutoscaler or a ScaledObject scales. */
  readonly hpa: string[]
  readonly scaledObjects: string[]
  /** Changes the object between the reading and the writing, once. */
  interfere: number | undefined
  /** Answered in place of everything. */
  status: number | undefined
  close(): Promise<void>
}

/** Deployments of the namespace `ml`. */
export async function startKubeScale(deployment: string): Promise<KubeScale> {
  let version = 100
  const path = `/apis/apps/v1/namespaces/ml/deployments/${deployment}/scale`
  const scale = () => ({
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: { name: deployment, namespace: 'ml', resourceVersion: String(version) },
    spec: { replicas: api.replicas },
    status: { replicas: api.replicas, selector: 'app=x' },
  })
  const list = (kind: string, apiVersion: string, names: readonly string[]) => ({
    kind: `${kind}List`,
    apiVersion,
    metadata: { resourceVersion: String(version) },
    items: names.map((name) => ({
      metadata: { name: `of-${name}`, namespace: 'ml' },
      spec: { scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name } },
    })),
  })
  const failure = (code: number, reason: string) => ({
    kind: 'Status',
    apiVersion: 'v1',
    status: 'Failure',
    reason,
    code,
  })

  function patch(request: IncomingMessage, text: string): [number, unknown] {
    const body = JSON.parse(text) as { metadata?: { resourceVersion?: string }; spec: { replicas: number } }
    api.patches.push({ type: request.headers['content-type'], body, token: request.headers.authorization })
    if (request.headers['content-type'] !== 'application/merge-patch+json')
      return [415, failure(415, 'UnsupportedMediaType')]
    const given = body.metadata?.resourceVersion
    if (given !== undefined && given !== String(version)) return [409, failure(409, 'Conflict')]
    version++
    api.replicas = body.spec.replicas
    return [200, scale()]
  }

  function read(): [number, unknown] {
    const answer = scale()
    if (api.interfere !== undefined) {
      api.replicas = api.interfere
      api.interfere = undefined
      version++
    }
    return [200, answer]
  }

  function answer(request: IncomingMessage, text: string): [number, unknown] {
    const { pathname } = new URL(request.url ?? '/', 'http://api')
    if (api.status !== undefined) return [api.status, failure(api.status, 'scripted')]
    if (pathname === path) return request.method === 'PATCH' ? patch(request, text) : read()
    if (pathname === '/apis/autoscaling/v2/namespaces/ml/horizontalpodautoscalers')
      return [200, list('HorizontalPodAutoscaler', 'autoscaling/v2', api.hpa)]
    if (pathname === '/apis/keda.sh/v1alpha1/namespaces/ml/scaledobjects' && api.scaledObjects.length > 0)
      return [200, list('ScaledObject', 'keda.sh/v1alpha1', api.scaledObjects)]
    return [404, failure(404, 'NotFound')]
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = ''
    for await (const chunk of request) text += String(chunk)
    api.asked.push(`${request.method} ${request.url}`)
    const [status, body] = answer(request, text)
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  }

  const http = createServer((request, response) => void serve(request, response))
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const api: KubeScale = {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    replicas: 1,
    asked: [],
    patches: [],
    hpa: [],
    scaledObjects: [],
    interfere: undefined,
    status: undefined,
    close() {
      http.closeAllConnections()
      return new Promise((resolve) => http.close(() => resolve()))
    },
  }
  return api
}
