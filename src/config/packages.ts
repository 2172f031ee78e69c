/** Settings that need an npm package which this installation lacks: a mistake to be seen before the first call. */
import { readStoreUrl } from '../core/store-url.ts'
import { missingPackages, type OptionalFeature } from '../lib/optional-packages.ts'
import type { Issue } from './messages.ts'
import type { Settings } from './schema.ts'
import type { Path } from './walk.ts'

interface Need {
  readonly feature: OptionalFeature
  readonly path: Path
}

/** One issue a feature, at the first setting that needs it. */
export function missingPackagesOf(settings: Settings): Issue[] {
  const first = new Map<OptionalFeature, Path>()
  const traces: Need[] = settings.tracing ? [{ feature: 'otlp', path: ['tracing'] }] : []
  const needs = [...modelNeeds(settings), ...scaleNeeds(settings), ...logNeeds(settings), ...traces]
  for (const { feature, path } of needs) if (!first.has(feature)) first.set(feature, path)
  return [...first].flatMap(([feature, path]) => {
    const missing = missingPackages(feature)
    return missing ? [{ path, at: 'value' as const, message: missing.reason, fix: missing.command }] : []
  })
}

function modelNeeds({ models }: Settings): Need[] {
  return models.flatMap(({ source, kind }, i): Need[] => {
    const path = ['models', i]
    const url = readStoreUrl(source)
    const isS3 = url !== undefined && 'type' in url && url.type === 's3'
    return [
      { feature: 'onnx', path },
      ...(kind === 'embedding' ? [{ feature: 'tokenizer' as const, path: [...path, 'kind'] }] : []),
      ...(isS3 ? [{ feature: 's3' as const, path: [...path, 'source'] }] : []),
    ]
  })
}

function scaleNeeds({ pools }: Settings): Need[] {
  return Object.entries(pools).flatMap(([name, { scale }]) =>
    (scale?.emit ?? []).flatMap(({ type }, i): Need[] =>
      type === 'keda' ? [{ feature: 'keda', path: ['pools', name, 'scale', 'emit', i, 'type'] }] : [],
    ),
  )
}

function logNeeds({ routes }: Settings): Need[] {
  return routes.flatMap(({ log }, i): Need[] =>
    log?.format === 'tfrecord' ? [{ feature: 'tfrecord', path: ['routes', i, 'log', 'format'] }] : [],
  )
}
