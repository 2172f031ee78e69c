/** The schema of traces: where they go, and which calls are traced. */
import * as z from 'zod'
import { fixed, httpUrl, share } from './fields.ts'

export const tracing = z.strictObject({
  otlp: fixed(
    httpUrl()
      .exactOptional()
      .describe(
        'Where spans are sent to, by OTLP over HTTP, such as `http://collector:4318/v1/traces`; left out: where `OTEL_EXPORTER_OTLP_ENDPOINT` says.',
      ),
  ),
  sample: share()
    .prefault('1%')
    .describe('The share of the calls that is traced; of a call with `traceparent` its caller decides.'),
})
