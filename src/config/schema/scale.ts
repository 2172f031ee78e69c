/** The schema of scaling: the SLO, the bounds, the windows, and the emitters. */
import * as z from 'zod'
import { customPart, type PartName } from './custom-parts.ts'
import { count, duration, hostPort, httpUrl, ordered, refuse, secret, serviceUrl } from './fields.ts'
import { serverTls } from './tls.ts'

const emitWith = (emitters: readonly PartName[] = []) =>
  z.discriminatedUnion('type', [
    z.strictObject({
      type: z.literal('webhook').describe('POST of a CloudEvent on every change, and every 30 s.'),
      url: serviceUrl(['http:', 'https:'], 'https://ops.example/scale').describe('Where it is sent.'),
      secret: secret().exactOptional().describe('Key of the HMAC signature.'),
    }),
    z.strictObject({
      type: z.literal('keda').describe('External scaler over gRPC.'),
      listen: hostPort('127.0.0.1:6000').describe('Where KEDA connects to.'),
      tls: serverTls
        .exactOptional()
        .describe('Serves it over TLS, as `server.tls`; pools that share the address share this too.'),
    }),
    z.strictObject({
      type: z.literal('kubernetes').describe('The `scale` subresource.'),
      kind: z
        .enum(['Deployment', 'StatefulSet', 'ReplicaSet'])
        .prefault('Deployment')
        .describe('What is scaled.'),
      namespace: z.string().min(1).prefault('default').describe('Its namespace.'),
      name: z.string().min(1).describe('Its name.'),
      apiServer: httpUrl()
        .exactOptional()
        .describe('The API server; otherwise that of the cluster the gateway runs in.'),
    }),
    ...emitters.map(customPart),
  ])

/** @param down the default of the down window */
export const windowsOf = (down: string) =>
  z
    .strictObject({
      fast: duration().prefault('6s').describe('Shows a burst.'),
      stable: duration().prefault('60s').describe('Shows the load.'),
      down: duration({ min: '0s' })
        .prefault(down)
        .describe(
          'How long a level of load is kept: the unit. Less of it as a rule, more for a load that comes back.',
        ),
    })
    .superRefine(({ fast, stable }, ctx) => ordered(ctx, [fast, stable], ['fast', 'stable']))

export const scaleWith = (emitters: readonly PartName[] = []) =>
  z
    .strictObject({
      min: count(0, 10_000)
        .prefault(1)
        .describe('Fewest replicas. At 0, calls that come to an empty pool wait for its first backend.'),
      max: count(1, 10_000).prefault(1).describe('Most replicas.'),
      windows: windowsOf('300s').prefault({}).describe('Over which times demand is measured.'),
      emit: z
        .array(emitWith(emitters))
        .prefault([])
        .describe('Who is told; the metrics and `/api/v1/scale` always say it.'),
    })
    .superRefine(({ min, max }, ctx) => ordered(ctx, [min, max], ['min', 'max']))

const P95 = '95 % of the calls that reach a backend are answered within this time.'

/** For models that answer at once. */
export const slo = z.strictObject({ p95: duration().describe(P95) })

/** For those that generate tokens as well. */
export const poolSlo = z
  .strictObject({
    p95: duration().exactOptional().describe(`${P95} Or, of models that generate, the other two.`),
    ttft: duration()
      .exactOptional()
      .describe('95 % of the generations that reach a backend begin within this time: the first token.'),
    itl: duration()
      .exactOptional()
      .describe('95 % of the pauses between tokens are no longer than this: the pool is scaled by tokens.'),
  })
  .superRefine(({ p95, ttft, itl }, ctx) => {
    const isWhole = p95 !== undefined && ttft === undefined && itl === undefined
    const isOfTokens = p95 === undefined && ttft !== undefined && itl !== undefined
    if (!isWhole && !isOfTokens) refuse(ctx, 'write p95 alone, or ttft and itl together')
  })
