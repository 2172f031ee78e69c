/**
 * Schemas of objects for kubeconform, from what Kubernetes and the other kinds' modules publish themselves: one file a kind and
 * version, strict, so that a field that does not exist is an error.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { downloaded } from '../../interop/systems/go.ts'
import type { Definition } from './definitions.ts'

const KUBERNETES = { module: 'k8s.io/kubernetes', version: 'v1.34.2' }

/** Where kubeconform finds them in the folder. */
export const PATTERN = '{{ .ResourceKind }}{{ .KindSuffix }}.json'

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>
  readonly [member: string]: unknown
}

interface Swagger {
  readonly definitions: Readonly<Record<string, Schema>>
}

interface KindOfObject {
  readonly group: string
  readonly version: string
  readonly kind: string
}

/** Writes those of these kinds; `apps/v1 Deployment`. */
export async function writeObjectSchemas(
  folder: string,
  kinds: ReadonlySet<string>,
  others: readonly Definition[],
): Promise<void> {
  mkdirSync(folder, { recursive: true })
  const write = (kind: KindOfObject, schema: object) => {
    const isWanted = kinds.has(`${kind.group === '' ? '' : `${kind.group}/`}${kind.version} ${kind.kind}`)
    if (isWanted) writeFileSync(join(folder, fileName(kind)), JSON.stringify(schema))
  }
  const { Dir } = await downloaded(KUBERNETES)
  const text = readFileSync(join(Dir, 'api', 'openapi-spec', 'swagger.json'), 'utf8')
  const { definitions } = strict(JSON.parse(text)) as Swagger
  for (const [name, schema] of Object.entries(definitions)) {
    const [kind] = (schema['x-kubernetes-group-version-kind'] ?? []) as readonly KindOfObject[]
    if (kind) write(kind, { $ref: `#/definitions/${name}`, definitions })
  }
  const metadata = { $ref: '#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta' }
  for (const { spec } of others) {
    for (const { name: version, schema } of spec.versions) {
      const { properties, ...rest } = strict(schema.openAPIV3Schema) as Schema
      const kind = { group: spec.group, version, kind: spec.names.kind }
      write(kind, { ...rest, properties: { ...properties, metadata }, definitions })
    }
  }
}

/** `deployment-apps-v1.json`, `service-v1.json` */
function fileName({ group, version, kind }: KindOfObject): string {
  const [first] = group.split('.')
  return `${[kind.toLowerCase(), ...(first ? [first] : []), version].join('-')}.json`
}

/** As OpenAPI has it, no field is forbidden, and what may be a number or a text is a text. */
function strict(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(strict)
  if (typeof value !== 'object' || value === null) return value
  const made = Object.fromEntries(Object.entries(value).map(([key, member]) => [key, strict(member)]))
  if (made['format'] === 'int-or-string' || made['x-kubernetes-int-or-string'] === true)
    return { type: ['integer', 'string'] }
  const isClosed =
    typeof made['properties'] === 'object' &&
    made['additionalProperties'] === undefined &&
    made['x-kubernetes-preserve-unknown-fields'] !== true &&
    (made['type'] === 'object' || made['type'] === undefined)
  return isClosed ? { ...made, additionalProperties: false } : made
}
