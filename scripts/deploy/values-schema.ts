/**
 * What may stand in the values of the Helm chart. Sentences and defaults are in its values.yaml; the schema that Helm checks
 * values with is made of both, so a typo in the gateway's settings is refused before anything is installed.
 */
import * as z from 'zod'
import { jsonSchema } from '../docs/json-schema.ts'
import { documentedValues } from './values-file.ts'

/** Whatever Kubernetes has for it: the API server checks it. */
const object = z.record(z.string(), z.unknown())
const objects = z.array(object)
const labels = z.record(z.string(), z.string())
const port = z.int().min(1).max(65_535)

const backendAutoscaler = z.strictObject({
  pool: z.string().min(1),
  type: z.enum(['keda', 'external-metrics']),
  target: z.strictObject({
    kind: z.enum(['Deployment', 'StatefulSet', 'ReplicaSet']),
    name: z.string().min(1),
    namespace: z.string().min(1).optional(),
  }),
  authenticationRef: z.string().min(1).optional(),
})

const values = z.strictObject({
  image: z.strictObject({
    repository: z.string().min(1),
    tag: z.string(),
    digest: z.string().regex(/^(sha256:[0-9a-f]{64})?$/),
    pullPolicy: z.enum(['Always', 'IfNotPresent', 'Never']),
  }),
  imagePullSecrets: z.array(z.strictObject({ name: z.string().min(1) })),
  nameOverride: z.string(),
  fullnameOverride: z.string(),
  replicas: z.int().min(0),
  // The gateway's settings; their own schema takes its place.
  config: object,
  adminToken: z.strictObject({ secret: z.string(), key: z.string().min(1) }),
  env: objects,
  envFrom: objects,
  tls: z.strictObject({ secret: z.string() }),
  adminTls: z.strictObject({ secret: z.string() }),
  volumes: objects,
  volumeMounts: objects,
  cacheVolume: object,
  service: z.strictObject({
    type: z.enum(['ClusterIP', 'LoadBalancer', 'NodePort']),
    port,
    annotations: labels,
  }),
  preStopSeconds: z.int().min(0),
  resources: object,
  autoscaling: z.strictObject({
    enabled: z.boolean(),
    minReplicas: z.int().min(1),
    maxReplicas: z.int().min(1),
    targetCPUUtilizationPercentage: z.int().min(1),
  }),
  podDisruptionBudget: z.strictObject({
    enabled: z.boolean(),
    maxUnavailable: z.union([z.int().min(0), z.string().regex(/^\d+%$/)]),
  }),
  backendAutoscalers: z.array(backendAutoscaler),
  externalMetrics: z.strictObject({ enabled: z.boolean(), caBundle: z.string() }),
  networkPolicy: z.strictObject({
    enabled: z.boolean(),
    callers: objects,
    operators: objects,
    egress: objects,
  }),
  serviceMonitor: z.strictObject({
    enabled: z.boolean(),
    interval: z.string().min(1),
    labels,
    tlsConfig: object,
  }),
  prometheusRule: z.strictObject({ enabled: z.boolean(), labels, runbooks: z.string().min(1) }),
  dashboard: z.strictObject({ enabled: z.boolean(), labels }),
  httpRoute: z.strictObject({
    enabled: z.boolean(),
    parentRefs: objects,
    hostnames: z.array(z.string().min(1)),
    matches: objects,
  }),
  serviceAccount: z.strictObject({ create: z.boolean(), name: z.string(), annotations: labels }),
  rbac: z.strictObject({ create: z.boolean() }),
  podAnnotations: labels,
  podLabels: labels,
  podSecurityContext: object,
  securityContext: object,
  topologySpreadConstraints: objects,
  nodeSelector: labels,
  tolerations: objects,
  affinity: object,
  priorityClassName: z.string(),
  // Helm puts it into the values of every chart that is part of another.
  global: object.optional(),
})

/** JSON Schema (draft 2020-12) of the values, as text: on one line, as Helm keeps it in every release. */
export function valuesSchema(): string {
  const made = JSON.stringify({ ...z.toJSONSchema(values), title: 'Values of the infergate chart' })
  const schema = JSON.parse(made) as JsonSchema
  const { $schema: _, title: __, ...settings } = JSON.parse(jsonSchema(), withoutForeignPattern) as JsonSchema
  // The chart adds the certificates.
  for (const listener of ['server', 'admin']) delete at(settings, [listener, 'tls'])?.required
  schema.properties['config'] = settings
  for (const { path, sentence } of documentedValues()) {
    const described = at(schema, path.split('.'))
    if (described && !path.startsWith('config.')) described.description = sentence
  }
  return `${JSON.stringify(schema)}\n`
}

/** Helm reads patterns as Go does, which knows no look-ahead and repeats nothing a thousand times; the gateway checks those itself. */
function withoutForeignPattern(key: string, value: unknown): unknown {
  return key === 'pattern' && /\(\?[!=<]|\{\d*,?\d{4,}\}/.test(String(value)) ? undefined : value
}

interface JsonSchema {
  readonly properties: Record<string, JsonSchema>
  description?: string
  required?: readonly string[]
  readonly [member: string]: unknown
}

const at = (schema: JsonSchema, path: readonly string[]): JsonSchema | undefined =>
  path.reduce<JsonSchema | undefined>((within, key) => within?.properties?.[key], schema)
