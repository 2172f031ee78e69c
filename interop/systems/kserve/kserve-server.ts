/** KServe's own server around one of two networks, and what both are asked. */
import { join } from 'node:path'
import { answers } from '../../suite/ask.ts'
import { type Exchange, json, tryExchanges } from '../../suite/exchanges.ts'
import { refusedWithError, tryKilled } from '../../suite/killed.ts'
import { freePorts } from '../../suite/processes.ts'
import type { Python } from '../../suite/python.ts'
import type { Session } from '../../suite/session.ts'
import { defaultsAndRows, type Sides, tritonSample, tryScript } from '../sides.ts'
import { DATATYPES, everyDatatype, inferBinary, inferJson, sample, type Tensor } from '../v2.ts'

export interface KserveOptions {
  readonly python: Python
  /** `torch`, or the folder of a SavedModel. */
  readonly network: string
  readonly shown: string
}

const ROWS = [
  [5.1, 3.5, 1.4, 0.2],
  [6.7, 3.1, 5.6, 2.4],
  [5.9, 3.0, 4.2, 1.5],
]

const ROWS_TENSOR: Tensor = { name: 'x', datatype: 'FP32', shape: [3, 4], data: ROWS.flat().map(String) }

const predict = (model: string, body: unknown) => ({ path: `/v1/models/${model}:predict`, ...json(body) })

const V1: readonly Exchange[] = [
  { name: '3 rows', again: 'hit', ...predict('net', { instances: ROWS }) },
  { name: 'texts', again: 'hit', ...predict('odd', { instances: ['straße', '日本', '😀'] }) },
  { name: 'columnar', again: 'hit', ...predict('odd', { inputs: ['a', 'b'] }) },
  {
    name: 'one answer for all rows, which is not kept',
    again: 'forwarded',
    ...predict('odd', { instances: [1, 2, 3], mode: 'one for all' }),
  },
  {
    name: 'long numbers',
    again: 'hit',
    ...predict('odd', { instances: [1, 2, 3, 4], mode: 'long numbers' }),
  },
  {
    name: 'further members',
    again: 'hit',
    ...predict('odd', { instances: [1, 2], mode: 'further members' }),
  },
]

const A_ROW: Exchange = {
  name: 'a row that was in a batch',
  again: 'hit',
  ...predict('net', { instances: ROWS.slice(1, 2) }),
}

const EXPLANATION: Exchange = {
  name: 'an explanation',
  again: 'forwarded',
  path: '/v1/models/net:explain',
  ...json({ instances: ROWS }),
}

/** What differs with every network behind this server, and why. */
export const KSERVE_DIFFERENCES = {
  [EXPLANATION.name]:
    'KServe answers with the header fields of the request, and the gateway had added `x-forwarded-for`',
  'the content type of a binary answer':
    'KServe sends none; what the gateway puts together says `application/octet-stream`',
  'echo INT8 json':
    'tritonclient sends JSON without a content type, which KServe refuses; the gateway knows the answer to the equal binary call',
  'echo INT8 json, async_infer': 'as `echo INT8 json`',
}

// An answer of which each row depends on all: only a gateway that proves rows first can be right.
const COUPLED: readonly Exchange[] = [
  {
    name: 'each row depends on all',
    again: 'hit',
    ...predict('odd', { instances: [1, 2, 6], mode: 'each depends on all' }),
  },
  {
    name: 'the first two of them',
    again: 'hit',
    ...predict('odd', { instances: [1, 2], mode: 'each depends on all' }),
  },
]

const V2: readonly Exchange[] = [
  { name: '3 rows, JSON', again: 'hit', ...inferJson('net', [ROWS_TENSOR], { id: '7' }) },
]

const BINARY: readonly Exchange[] = [
  { name: '3 rows', again: 'hit', ...inferBinary('net', [ROWS_TENSOR], { id: '7' }) },
  ...everyDatatype((datatype) => inferBinary('echo', [sample('b', datatype)], { id: '7' })),
]

const CONTENT_TYPE: Exchange = {
  name: 'the content type of a binary answer',
  again: 'hit',
  ...inferBinary('net', [ROWS_TENSOR], { id: '7' }),
}

const ERRORS: readonly Exchange[] = [
  { name: 'V1, no such model', again: 'forwarded', ...predict('absent', { instances: ROWS }) },
  { name: 'V1, no instances', again: 'forwarded', ...predict('net', { rows: ROWS }) },
  { name: 'V1, ragged rows', again: 'forwarded', ...predict('net', { instances: [[1, 2], [3]] }) },
  {
    name: 'V1, an error of the model',
    again: 'forwarded',
    ...predict('odd', { instances: [1], mode: 'ünï' }),
  },
  { name: 'V1, no JSON', again: 'forwarded', ...predict('net', '{"instances":') },
  { name: 'V2, no such model', again: 'forwarded', ...inferJson('absent', [ROWS_TENSOR]) },
  { name: 'V2, no inputs', again: 'forwarded', path: '/v2/models/net/infer', ...json({ id: '7' }) },
]

const METADATA: readonly Exchange[] = [
  '/v1/models',
  '/v1/models/net',
  '/v1/models/absent',
  '/v2',
  '/v2/health/live',
  '/v2/health/ready',
  '/v2/models/net',
  '/v2/models/net/ready',
  '/v2/models/absent',
].map((path) => ({ name: path, again: 'forwarded', path }))

const inJson = (datatype: string) => inferJson('echo', [sample('x', datatype)], { id: '7' })

// KServe takes halves as binary tensors only.
const refusesHalf = (datatype: string) => (datatype === 'FP16' ? 'forwarded' : 'hit')

/** The model that gives back what it gets. */
const ECHO = { model: 'echo', input: 'x', outputs: ['echo_x'] }

export async function tryKserve(session: Session, { python, network, shown }: KserveOptions): Promise<void> {
  const [http, grpc] = await freePorts(2)
  const direct = `http://127.0.0.1:${http}`
  const server = await session.start(
    {
      name: 'KServe',
      command: python.command,
      args: [join(import.meta.dirname, 'server.py'), String(http), String(grpc), network],
      env: { OMP_NUM_THREADS: '1', TF_CPP_MIN_LOG_LEVEL: '2' },
      ready: () => answers(direct, '/v2/models/odd/ready'),
    },
    shown,
  )
  const [defaults, rows] = await defaultsAndRows(session, direct)
  const sides = { direct, gateways: [defaults, rows], invented: { members: ['id'] } }
  await tryExchanges(session, { ...sides, group: 'V1', exchanges: V1 })
  await tryExchanges(session, { ...sides, gateways: [defaults], group: 'V1', exchanges: [...COUPLED, A_ROW] })
  await tryExchanges(session, { ...sides, group: 'V1', exchanges: [EXPLANATION] })
  await tryExchanges(session, { ...sides, group: 'V2', exchanges: V2 })
  await tryExchanges(session, {
    ...sides,
    group: 'V2 JSON, every datatype',
    exchanges: everyDatatype(inJson, refusesHalf),
  })
  await tryExchanges(session, {
    ...sides,
    group: 'V2 binary, every datatype',
    exchanges: BINARY,
    invented: { members: ['id'], fields: ['content-type'] },
  })
  await tryExchanges(session, { ...sides, group: 'V2 binary', exchanges: [CONTENT_TYPE] })
  await tryExchanges(session, { ...sides, group: 'errors', exchanges: ERRORS })
  await tryExchanges(session, { ...sides, group: 'metadata', exchanges: METADATA })
  await tryScript(session, {
    sides,
    python,
    group: "KServe's SDK",
    script: join(import.meta.dirname, 'sdk.py'),
  })
  await tryTritonclient(session, python, sides)
  await tryGrpc(session, python, { http: direct, grpc: `http://127.0.0.1:${grpc}` })
  await tryKilled(session, {
    ...sides,
    server,
    gateway: defaults,
    kept: predict('net', { instances: ROWS }),
    fresh: (number) => predict('net', { instances: [[number, 1, 2, 3]] }),
    refused: refusedWithError,
  })
}

async function tryTritonclient(session: Session, python: Python, sides: Sides): Promise<void> {
  const models = [
    ...DATATYPES.map((datatype) => tritonSample(datatype, { ...ECHO, forms: ['binary'] })),
    tritonSample('INT8', { ...ECHO, forms: ['json'], cached: 0 }),
  ]
  await tryScript(session, {
    sides,
    python,
    group: 'tritonclient',
    script: 'triton_http.py',
    plan: { models },
  })
}

/** The same server over gRPC, by both its addresses and by that alone. */
async function tryGrpc(
  session: Session,
  python: Python,
  { http, grpc }: { readonly http: string; readonly grpc: string },
): Promise<void> {
  const start = (name: string, backend: object) =>
    session.gateway({
      name,
      upstream: grpc,
      settings: {
        pools: { upstream: { backends: [backend] } },
        routes: [{ name: 'all', pool: 'upstream', cache: {} }],
      },
    })
  const gateways = [await start('both', { url: http, grpc }), await start('only-grpc', { grpc })]
  const sides = { direct: grpc, gateways }
  const sdk = join(import.meta.dirname, 'sdk_grpc.py')
  await tryScript(session, { sides, python, group: "KServe's SDK, gRPC", script: sdk, recorded: true })
  const models = DATATYPES.map((datatype) => tritonSample(datatype, ECHO))
  await tryScript(session, {
    sides,
    python,
    group: 'tritonclient.grpc',
    script: 'triton_grpc.py',
    plan: { models },
  })
}
