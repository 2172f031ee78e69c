/**
 * A server for KEDA's external scaler protocol (github.com/kedacore/keda, `externalscaler.proto`): KEDA asks over gRPC
 * whether a pool is active and how many replicas it should have. The metric is the number itself with a target of 1 a
 * replica, so that the autoscaler arrives at the gateway's number, however often it polls. A `ScaledObject` names the
 * pool in its metadata.
 */
import { type AddressInfo, createServer, type Server as NetServer } from 'node:net'
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js'
import { fromJSON } from '@grpc/proto-loader'
import type { HostPort } from '../../core/addresses.ts'
import type { Clock } from '../../lib/clock.ts'
import type { ServerTls } from '../../lib/tls/material.ts'
import { TlsTerminator } from '../../lib/tls/terminator.ts'
import { Wheel } from '../../lib/wheel.ts'
import { POOL_PATTERN } from '../registry/registration.ts'
import type { Emitter, ScaleSignal } from './signal.ts'

export interface KedaOptions {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  /** Undefined: plain HTTP/2. */
  readonly tls: ServerTls | undefined
  readonly clock: Clock
}

export interface KedaScaler {
  readonly port: number
  /** The emitter for one pool's signals. The scaler is closed with the last of them, and `ended` is called. */
  pool(name: string, ended?: () => void): Emitter
  /** Takes over changed certificates for new connections. */
  secure(tls: ServerTls | undefined): void
  close(): void
}

interface Ref {
  readonly name: string
  readonly namespace: string
  readonly scalerMetadata: Readonly<Record<string, string>>
}

interface MetricsRequest {
  readonly scaledObjectRef: Ref | null
  readonly metricName: string
}

/** KEDA opens a connection for each replica of its operator and of its metrics server. */
const MAX_CONNECTIONS = 256
const HANDSHAKE_MS = 5_000
const METRIC = 'infergate_scale_desired_replicas'
const STRING = (id: number) => ({ type: 'string', id })
const REF = { type: 'ScaledObjectRef', id: 1 }

// The descriptor's type has members that only a parser of .proto files produces.
const PROTO = {
  nested: {
    externalscaler: {
      nested: {
        ExternalScaler: {
          methods: {
            IsActive: { requestType: 'ScaledObjectRef', responseType: 'IsActiveResponse' },
            StreamIsActive: {
              requestType: 'ScaledObjectRef',
              responseType: 'IsActiveResponse',
              responseStream: true,
            },
            GetMetricSpec: { requestType: 'ScaledObjectRef', responseType: 'GetMetricSpecResponse' },
            GetMetrics: { requestType: 'GetMetricsRequest', responseType: 'GetMetricsResponse' },
            StreamMetricSpec: {
              requestType: 'ScaledObjectRef',
              responseType: 'GetMetricSpecResponse',
              responseStream: true,
            },
          },
        },
        ScaledObjectRef: {
          fields: {
            name: STRING(1),
            namespace: STRING(2),
            scalerMetadata: { keyType: 'string', type: 'string', id: 3 },
          },
        },
        IsActiveResponse: { fields: { result: { type: 'bool', id: 1 } } },
        GetMetricSpecResponse: { fields: { metricSpecs: { rule: 'repeated', type: 'MetricSpec', id: 1 } } },
        MetricSpec: {
          fields: {
            metricName: STRING(1),
            targetSize: { type: 'int64', id: 2 },
            targetSizeFloat: { type: 'double', id: 3 },
          },
        },
        GetMetricsRequest: { fields: { scaledObjectRef: REF, metricName: STRING(2) } },
        GetMetricsResponse: { fields: { metricValues: { rule: 'repeated', type: 'MetricValue', id: 1 } } },
        MetricValue: {
          fields: {
            metricName: STRING(1),
            metricValue: { type: 'int64', id: 2 },
            metricValueFloat: { type: 'double', id: 3 },
          },
        },
      },
    },
  },
} as unknown as Parameters<typeof fromJSON>[0]

const PACKAGE = fromJSON(PROTO, { longs: Number, defaults: true })

type Unary<Q> = (call: ServerUnaryCall<Q, unknown>, answer: sendUnaryData<unknown>) => void
type Stream = ServerWritableStream<Ref, unknown>

/** Listens until it is closed. Rejects with the system's words when the address cannot be listened on. */
export async function openKedaScaler({ host, port: wanted, tls, clock }: KedaOptions): Promise<KedaScaler> {
  const signals = new Map<string, ScaleSignal>()
  const open = new Set<string>()
  const server = new Server()

  const { calls, tellAll } = callsOn(signals)
  server.addService(PACKAGE['externalscaler.ExternalScaler'] as ServiceDefinition, calls)
  const at = host.includes(':') ? `[${host}]:${wanted}` : `${host}:${wanted}`
  // gRPC gets its connections from a listener of ours, whose TLS can change while it is open.
  const { injectConnection } = server.createConnectionInjector(ServerCredentials.createInsecure())
  const listener = createServer({ noDelay: true }, injectConnection)
  listener.maxConnections = MAX_CONNECTIONS
  const wheel = new Wheel(clock)
  const terminator = new TlsTerminator({
    server: listener,
    alpn: ['h2'],
    handshakeTimeoutMs: HANDSHAKE_MS,
    maxHandshakes: MAX_CONNECTIONS,
    plainAnswer: '',
    wheel,
    ended: () => {},
  })
  terminator.use(tls)
  const port = await bound(listener, { host, port: wanted })
  const close = () => {
    listener.close()
    terminator.cut()
    server.forceShutdown()
    wheel.close()
  }
  return {
    port,
    pool(name, ended) {
      open.add(name)
      return {
        name: `keda ${at}`,
        emit(signal) {
          signals.set(signal.pool, signal)
          tellAll()
        },
        close() {
          if (!open.delete(name)) return
          signals.delete(name)
          if (open.size > 0) return
          close()
          ended?.()
        },
      }
    },
    secure: (changed) => terminator.use(changed),
    close,
  }
}

/** The five procedures, answered from the last signals. `tellAll` sends a change to all streams. */
function callsOn(signals: ReadonlyMap<string, ScaleSignal>) {
  const activity = new Map<Stream, boolean | undefined>()
  const unary =
    <Q>(refOf: (request: Q) => Ref | null, answerWith: (signal: ScaleSignal) => unknown): Unary<Q> =>
    (call, answer) => {
      const found = find(signals, refOf(call.request))
      if ('signal' in found) answer(null, answerWith(found.signal))
      else answer({ code: found.code, details: found.details })
    }
  const tell = (stream: Stream) => {
    const found = find(signals, stream.request)
    if (!('signal' in found)) return
    const isActive = found.signal.decision.desired > 0
    if (activity.get(stream) === isActive) return
    activity.set(stream, isActive)
    stream.write({ result: isActive })
  }

  const calls = {
    IsActive: unary<Ref>(itself, ({ decision }) => ({ result: decision.desired > 0 })),
    GetMetricSpec: unary<Ref>(itself, () => SPEC),
    GetMetrics: unary<MetricsRequest>(
      ({ scaledObjectRef }) => scaledObjectRef,
      ({ decision }) => ({
        metricValues: [
          { metricName: METRIC, metricValue: decision.desired, metricValueFloat: decision.desired },
        ],
      }),
    ),
    StreamIsActive(stream: Stream) {
      const found = find(signals, stream.request)
      if (!('signal' in found)) return void stream.destroy(refused(found))
      activity.set(stream, undefined)
      for (const event of ['cancelled', 'close', 'error']) stream.on(event, () => activity.delete(stream))
      tell(stream)
    },
    StreamMetricSpec(stream: Stream) {
      const found = find(signals, stream.request)
      if (!('signal' in found)) return void stream.destroy(refused(found))
      // It never changes; the stream stays open so that KEDA does not ask again.
      stream.write(SPEC)
    },
  }
  return { calls, tellAll: () => [...activity.keys()].forEach(tell) }
}

/** The port it listens on. */
function bound(listener: NetServer, { host, port }: HostPort): Promise<number> {
  return new Promise((resolve, reject) => {
    listener.once('error', (error) =>
      reject(new Error(`the external scaler cannot listen on ${host}:${port}: ${error.message}`)),
    )
    listener.listen({ host, port }, () => resolve((listener.address() as AddressInfo).port))
  })
}

const SPEC = { metricSpecs: [{ metricName: METRIC, targetSize: 1, targetSizeFloat: 1 }] }

function itself(ref: Ref): Ref {
  return ref
}

type SignalLookup = { readonly signal: ScaleSignal } | { readonly code: status; readonly details: string }

/**
 * The pool of a request and its last signal. Without one the answer is "unavailable": KEDA keeps its number and asks
 * again.
 */
function find(signals: ReadonlyMap<string, ScaleSignal>, ref: Ref | null): SignalLookup {
  const pool = ref?.scalerMetadata['pool']
  // An invalid name is not repeated: the details are sent in a header field.
  if (pool === undefined || !POOL_PATTERN.test(pool)) {
    const details = 'name the pool in the metadata of the trigger: "pool: NAME"'
    return { code: status.INVALID_ARGUMENT, details }
  }
  const signal = signals.get(pool)
  if (signal) return { signal }
  const details = `nothing is said of pool "${pool}": it has no emitter of type keda here, or has only just started`
  return { code: status.UNAVAILABLE, details }
}

function refused(found: Exclude<SignalLookup, { signal: ScaleSignal }>): Error {
  return Object.assign(new Error(found.details), found)
}
