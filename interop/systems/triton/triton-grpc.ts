/** Triton by its gRPC, with backends of both addresses and of one alone, and what is kept of one form for the other. */
import type { Python } from '../../suite/python.ts'
import type { Session } from '../../suite/session.ts'
import { tritonSample, tryScript } from '../sides.ts'
import { ALL_DATATYPES } from '../v2.ts'

export interface TritonAddresses {
  readonly http: string
  readonly grpc: string
}

const numbers = (model: string, value: readonly number[], more: object = {}) => ({
  model,
  input: 'x',
  datatype: 'FP32',
  shape: [value.length, 1],
  value,
  outputs: ['y'],
  ...more,
})

const REFUSED = [
  { case: 'an error of the model', ...numbers('fails', [13]) },
  { case: 'no such model', ...numbers('absent', [1]) },
  { case: 'no such version', ...numbers('fails', [1]), more: { model_version: '9' } },
  { case: 'a datatype that the model does not take', ...numbers('fails', [1], { datatype: 'INT8' }) },
  { case: 'more rows than the model takes', ...numbers('mean', [...Array(20).keys()]) },
  { case: 'an output that the model has not', ...numbers('mean', [1], { outputs: ['z'] }) },
]

/** Asked together over one stream. */
const STREAMED = [
  numbers('mean', [1, 2, 6]),
  numbers('counts', [1, 2], { answers: 3 }),
  numbers('fails', [13]),
  numbers('absent', [1]),
]

/** The one client whose calls are kept for `npm test`. */
const RECORDED = 'tritonclient.grpc'

const CALLS = [
  ['get_model_config', ['digits']],
  ['get_model_config', ['absent']],
  ['get_model_repository_index', []],
  ['get_log_settings', []],
]

/** `echo`: the model that gives a datatype back. */
export async function tryTritonGrpc(
  session: Session,
  python: Python,
  { http, grpc, echo }: TritonAddresses & { echo(datatype: string): string },
): Promise<void> {
  const sample = (datatype: string) =>
    tritonSample(datatype, { model: echo(datatype), input: 'x', outputs: ['echo_x'] })
  const models = ALL_DATATYPES.map(sample)
  const start = (name: string, backend: object) =>
    session.gateway({ name, upstream: grpc, settings: pool(backend) })
  const both = await start('both', { url: http, grpc })
  const onlyGrpc = await start('only-grpc', { grpc })
  const onlyHttp = await start('only-http', { url: http })
  const all = { models, refused: REFUSED, streamed: STREAMED, calls: CALLS }
  const run = (group: string, gateways: readonly (typeof both)[], plan: unknown) =>
    tryScript(session, {
      sides: { direct: grpc, gateways },
      python,
      group,
      script: 'triton_grpc.py',
      plan,
      ...(group === RECORDED ? { recorded: true } : {}),
    })
  await run(RECORDED, [both, onlyGrpc], all)
  // Calls without a form over HTTP are left out.
  await run('tritonclient.grpc, server over HTTP', [onlyHttp], { models, refused: REFUSED })
  const binary = models.map((model) => ({ ...model, forms: ['binary'] }))
  const inJson = models
    .filter(({ datatype }) => !['FP16', 'BF16'].includes(datatype))
    .map((model) => ({ ...model, forms: ['json'] }))
  await tryScript(session, {
    sides: { direct: http, gateways: [both, onlyGrpc] },
    python,
    group: 'tritonclient.http, server over both or over gRPC',
    script: 'triton_http.py',
    plan: { models: [...binary, ...inJson] },
  })
}

const pool = (backend: object) => ({
  pools: { upstream: { backends: [backend] } },
  routes: [{ name: 'all', pool: 'upstream', cache: {} }],
})
