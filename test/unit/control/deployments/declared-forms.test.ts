import { expect, it } from 'vitest'
import { type DeclaredForm, DeclaredForms } from '../../../../src/control/deployments/declared-forms.ts'
import type { ProbeRequest, ProbeResult } from '../../../../src/control/health/probe.ts'
import type { BackendAddresses } from '../../../../src/core/backend.ts'
import { BLOB_FORM, JSON_FORM, RAW_FORM } from '../../../../src/protocol/oip/forms.ts'

const ALL = JSON_FORM | BLOB_FORM

/** What was declared after these backends were asked about model `m`. */
async function declaredBy(
  backends: readonly BackendAddresses[],
  answer: (request: ProbeRequest) => object | undefined,
): Promise<DeclaredForm[]> {
  const told: DeclaredForm[] = []
  const forms = new DeclaredForms({
    registry: { views: () => [{ pool: 'p', backends }] as never },
    async probe(request): Promise<ProbeResult> {
      const body = answer(request)
      return { kind: 'status', status: body ? 200 : 404, body: JSON.stringify(body ?? {}) }
    },
    clock: { now: () => 0 },
    declared: (one) => void told.push(one),
  })
  for (const { url, grpc } of backends) {
    const at = url === undefined ? { url: grpc ?? '', transport: 'grpc' as const } : { url }
    await forms.probe({ ...at, path: '/v2/models/m', timeoutMs: 1000 })
    // What the server says of itself is asked behind the answer.
    await new Promise(setImmediate)
  }
  return told
}

const declaration = (form: number) => ({ pool: 'p', model: 'm', form })

it('REST declares JSON by the model, and blobs by the server', async () => {
  const told = await declaredBy([{ url: 'http://a' }], ({ path }) =>
    path === '/v2' ? { extensions: ['binary_tensor_data'] } : { name: 'm' },
  )
  expect(told).toEqual([declaration(JSON_FORM), declaration(ALL)])
})

it('of a backend that takes only gRPC, what is translated for it is declared, and nothing else is asked', async () => {
  const asked: (string | undefined)[] = []
  const told = await declaredBy([{ grpc: 'http://a' }], ({ path }) => {
    asked.push(path)
    return { name: 'm' }
  })
  expect(told).toEqual([declaration(ALL)])
  expect(asked).toEqual(['/v2/models/m'])
  // How it takes gRPC itself, only its answers tell.
  expect(ALL & RAW_FORM).toBe(0)
  expect(await declaredBy([{ grpc: 'http://a' }], () => undefined)).toEqual([])
})

it('where another backend of the pool takes REST, calls are not translated, and its declaration counts', async () => {
  const backends = [{ grpc: 'http://a' }, { url: 'http://b', grpc: 'http://c' }]
  const told = await declaredBy(backends, ({ path }) => (path === '/v2' ? {} : { name: 'm' }))
  expect(told).toEqual([declaration(JSON_FORM)])
})
