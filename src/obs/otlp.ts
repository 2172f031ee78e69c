/**
 * Sends traced calls to a collector by the OpenTelemetry SDK: OTLP over HTTP, as protobuf. One call is one span of the kind SERVER,
 * with one of the kind CLIENT for each attempt and one for each look-up and wait. The SDK's own variables (OTEL_EXPORTER_OTLP_…,
 * OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME) apply.
 */
import type * as Api from '@opentelemetry/api'
import type { Resource } from '@opentelemetry/resources'
import type * as Sdk from '@opentelemetry/sdk-trace'
import type { TracedCall } from '../core/call-line.ts'
import type { AttemptRecord } from '../core/call-record.ts'
import { TraceIds } from '../core/trace-ids.ts'
import { requirePackages } from '../lib/optional-packages.ts'

export interface OtlpOptions {
  /** Where traces are sent to; undefined: where the variables say. */
  readonly url: string | undefined
  readonly version: string
  /** Milliseconds that a collector may take for a batch. */
  readonly timeoutMs: number
}

/** Sends a batch; resolves with whether the collector has taken it. Never rejects. */
export type SendTraces = (calls: readonly TracedCall[]) => Promise<boolean>

/** The first statuses that are the server's fault. */
const SERVER_ERROR = 500

/** Loads the SDK. Throws MissingPackageError where it is not installed. */
export async function openOtlp({ url, version, timeoutMs }: OtlpOptions): Promise<SendTraces> {
  requirePackages('otlp')
  const [api, sdk, resources, { OTLPTraceExporter }] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/sdk-trace'),
    import('@opentelemetry/resources'),
    import('@opentelemetry/exporter-trace-otlp-proto'),
  ])
  const named = resources.resourceFromAttributes({ 'service.name': 'infergate', 'service.version': version })
  const environment = resources.detectResources({
    detectors: [resources.resourceAttributesEnvDetector, resources.serviceNameEnvDetector],
  })
  const exporter = new OTLPTraceExporter({ ...(url === undefined ? {} : { url }), timeoutMillis: timeoutMs })
  const spansOf = spanMaker(api, sdk, {
    version,
    resource: resources.defaultResource().merge(named).merge(environment),
  })
  return (calls) =>
    new Promise((resolve) => exporter.export(spansOf(calls), ({ error }) => resolve(error === undefined)))
}

/** Makes the spans of calls. Their ids were given when the calls were made, since backends have heard of them. */
function spanMaker(
  { SpanKind, SpanStatusCode, TraceFlags, trace, ROOT_CONTEXT }: typeof Api,
  { TracerProvider }: typeof Sdk,
  { version, resource }: { readonly version: string; readonly resource: Resource },
): (calls: readonly TracedCall[]) => Sdk.ReadableSpan[] {
  const random = new TraceIds()
  const ids: { trace: string; span: string | undefined } = { trace: '', span: undefined }
  let ended: Sdk.ReadableSpan[] = []
  const collecting = {
    onStart() {},
    onEnd: (span: Sdk.ReadableSpan) => void ended.push(span),
    forceFlush: async () => {},
    shutdown: async () => {},
  }
  const idGenerator = {
    generateTraceId: () => ids.trace,
    generateSpanId: () => ids.span ?? random.span(),
  }
  const tracer = new TracerProvider({ resource, idGenerator, spanProcessors: [collecting] }).getTracer(
    'infergate',
    version,
  )

  /** Returns the context of what happens within the span. `began`: wall milliseconds. */
  function span(
    began: number,
    within: Api.Context,
    { name, id, at, ms, hasFailed, ...options }: Spanning,
  ): Api.Context {
    ids.span = id
    const made = tracer.startSpan(name, { ...options, startTime: began + at }, within)
    if (hasFailed) made.setStatus({ code: SpanStatusCode.ERROR })
    made.end(began + at + ms)
    return trace.setSpan(ROOT_CONTEXT, made)
  }

  function add(call: TracedCall): void {
    const { traceId, spanId, parentId, ms } = call
    const began = Date.parse(call.time) - ms
    ids.trace = traceId
    const remote = { traceId, spanId: parentId ?? '', traceFlags: TraceFlags.SAMPLED, isRemote: true }
    const caller = parentId === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, remote)
    const own = span(began, caller, {
      ...{ kind: SpanKind.SERVER, name: `${call.method} ${call.route ?? ''}`.trim(), id: spanId },
      ...{ attributes: attributesOf(call), at: 0, ms, hasFailed: call.status >= SERVER_ERROR },
    })
    for (const { stage, at, ms: took, detail } of call.steps) {
      const attributes = detail === undefined ? {} : { 'infergate.cache.tier': detail }
      span(began, own, { kind: SpanKind.INTERNAL, name: stage, attributes, at, ms: took, hasFailed: false })
    }
    for (const attempt of call.attempts) {
      const { at, ms: took, ending, spanId: id } = attempt
      const hasFailed = ending !== 'ok' && ending !== 'cancelled'
      const attributes = ofAttempt(attempt)
      span(began, own, { kind: SpanKind.CLIENT, name: 'attempt', id, attributes, at, ms: took, hasFailed })
    }
  }

  return (calls) => {
    ended = []
    for (const call of calls) add(call)
    return ended
  }
}

interface Spanning {
  readonly name: string
  readonly kind: number
  /** Undefined: any. */
  readonly id?: string | undefined
  readonly attributes: Api.Attributes
  /** Milliseconds since the call began. */
  readonly at: number
  readonly ms: number
  readonly hasFailed: boolean
}

/** By the conventions for HTTP and for generative AI, and what only this gateway has to say. */
function attributesOf(call: TracedCall): Api.Attributes {
  const { protocol, model, fault, tenant, tier } = call
  return {
    'http.request.method': call.method,
    'url.path': call.path,
    'http.response.status_code': call.status,
    'http.request.body.size': call.bytes.in,
    'http.response.body.size': call.bytes.out,
    'client.address': call.peer,
    ...(fault === undefined ? {} : { 'error.type': fault }),
    ...(model === undefined ? {} : { 'gen_ai.request.model': model }),
    ...(protocol === 'openai' ? { 'gen_ai.provider.name': 'openai' } : {}),
    'infergate.request_id': call.requestId,
    ...(call.route === undefined ? {} : { 'infergate.route': call.route }),
    ...(protocol === undefined ? {} : { 'infergate.protocol': protocol }),
    ...(tenant === undefined ? {} : { 'infergate.tenant': tenant }),
    'infergate.cache.outcome': call.outcome,
    ...(tier === undefined ? {} : { 'infergate.cache.tier': tier }),
    'infergate.rows': call.rows,
  }
}

function ofAttempt({ backend, ending, connect, firstByte, transfer }: AttemptRecord): Api.Attributes {
  return {
    'infergate.backend': backend,
    'infergate.ending': ending,
    ...(ending === 'ok' ? {} : { 'error.type': ending }),
    ...(connect === undefined ? {} : { 'infergate.connect_ms': connect }),
    ...(firstByte === undefined ? {} : { 'infergate.first_byte_ms': firstByte }),
    ...(transfer === undefined ? {} : { 'infergate.transfer_ms': transfer }),
  }
}
