import { expect, it } from 'vitest'
import { silentLog } from '../../../../src/core/log.ts'
import { Deployments } from '../../../../src/data/key/deployment.ts'
import { Epochs } from '../../../../src/data/key/epochs.ts'
import { createKeyer } from '../../../../src/data/key/keyer.ts'
import { createRouter, isOpen, type Matched } from '../../../../src/data/route/routes.ts'
import { settle } from '../../../../src/data/route/settle.ts'
import { oip } from '../../../../src/protocol/oip/oip.ts'
import { callOf } from '../../../../src/testing/protocol-call.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { INFER_CALL, inferBody } from '../../../support/oip-messages.ts'
import { CACHE } from '../../../support/pipeline.ts'

const clock = new FakeClock()
const facts = { shared: undefined, clock, log: silentLog, changed: () => {} }
const keyer = createKeyer({ epochs: new Epochs(facts), deployments: new Deployments(facts), clock })
const route = createRouter([
  { name: 'main', match: {}, protocols: [oip], pool: 'main', timeout: 1000, pure: true, cache: CACHE },
])

async function seedOf(path: string, headers: readonly string[], body: Uint8Array): Promise<string> {
  const matched = route({ method: 'POST', host: 'gateway.test', path, headers })
  const settled = matched && isOpen(matched) ? settle(matched, body) : matched
  const { target } = settled as Matched
  const { digest } = await keyer.seed({ ...callOf(body, { path, headers }), target }, settled as Matched)
  return digest
}

it('calls over gRPC have the seed of calls in JSON and in blobs to the same model and version', async () => {
  const { path = '', headers = [] } = INFER_CALL
  const message = (model_version: string) => inferBody({ model_name: 'm', model_version })
  const json = await seedOf('/v2/models/m/infer', ['content-type', 'application/json'], Buffer.from('{}'))
  const sent = [...headers, 'user-agent', 'grpc-python', 'grpc-accept-encoding', 'gzip', 'grpc-timeout', '5S']
  expect(await seedOf(path, sent, message(''))).toBe(json)
  expect(
    await seedOf(path, ['content-type', 'application/grpc+proto', 'grpc-encoding', 'gzip'], message('')),
  ).toBe(json)
  const third = await seedOf('/v2/models/m/versions/3/infer', [], Buffer.from('{}'))
  expect(await seedOf(path, sent, message('3'))).not.toBe(json)
  expect(
    await seedOf('/v2/models/m/versions/3/infer', ['content-type', 'application/json'], Buffer.from('{}')),
  ).toBe(await seedOf(path, sent, message('3')))
  // No media type at all is no form of the dialect.
  expect(await seedOf(path, sent, message('3'))).not.toBe(third)
})
