/**
 * Plain manifests, rendered from the chart and committed. Each begins with a digest of what it was rendered from, so that one
 * that is out of date is seen without Helm.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { CHART, chartFiles, type Rendering } from './places.ts'

/** The namespace that they are for. */
export const NAMESPACE = 'infergate'

export interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string }
  readonly [member: string]: unknown
}

/** The text that is committed, made of what Helm rendered. */
export function manifestText(rendering: Rendering, rendered: string): string {
  // Who applies them by kubectl has no release that they could belong to.
  const plain = rendered.replaceAll(/^ +(?:helm\.sh\/chart|app\.kubernetes\.io\/managed-by): .*\n/gm, '')
  return [firstLine(rendering), NAMESPACE_OBJECT, plain].join('\n')
}

/** As the committed file must begin. */
export const firstLine = (rendering: Rendering): string =>
  `# Rendered from deploy/helm/infergate (${sourcesDigest(rendering)}) by \`npm run check:deploy -- --write\`; do not edit.`

export const readManifests = (text: string): Manifest[] =>
  parseAllDocuments(text)
    .map((document) => document.toJS() as Manifest | null)
    .filter((object) => object !== null)

const NAMESPACE_OBJECT = `apiVersion: v1
kind: Namespace
metadata:
  name: ${NAMESPACE}
  labels:
    pod-security.kubernetes.io/enforce: restricted`

function sourcesDigest({ values }: Rendering): string {
  const hash = createHash('sha256')
  const files = [...chartFiles().map((path) => join(CHART, path)), ...(values === undefined ? [] : [values])]
  for (const file of files) hash.update(`${file.slice(CHART.length)}\0${readFileSync(file, 'utf8')}\0`)
  return hash.digest('hex').slice(0, 16)
}
