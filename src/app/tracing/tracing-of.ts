/** Whether calls are traced: as the settings say, or, where they say nothing, as the variables of OpenTelemetry do. */
import type { Settings } from '../../config/schema.ts'

/** Unless the variables say another share. */
const SAMPLE = 0.01

export function tracingOf(
  { tracing }: Pick<Settings, 'tracing'>,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Settings['tracing'] {
  if (tracing) return tracing
  const endpoint = env['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'] || env['OTEL_EXPORTER_OTLP_ENDPOINT']
  const isOff = env['OTEL_SDK_DISABLED'] === 'true' || env['OTEL_TRACES_EXPORTER'] === 'none'
  if (!endpoint || isOff) return undefined
  const share = Number(env['OTEL_TRACES_SAMPLER_ARG'] || SAMPLE)
  return { sample: share > 0 && share <= 1 ? share : SAMPLE }
}
