/** What of a pod's specification the checks read. */

export interface PodSpec {
  readonly serviceAccountName: string
  readonly automountServiceAccountToken: boolean
  readonly terminationGracePeriodSeconds: number
  readonly securityContext: { readonly runAsUser: number; readonly runAsGroup: number }
  readonly containers: readonly Container[]
  readonly volumes: readonly Volume[]
}

export interface Container {
  readonly args: readonly string[]
  readonly env?: readonly EnvironmentVariable[]
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[]
  readonly startupProbe: Probe
  readonly livenessProbe: Probe
  readonly readinessProbe: Probe
  readonly lifecycle?: { readonly preStop: { readonly sleep: { readonly seconds: number } } }
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[]
}

export interface EnvironmentVariable {
  readonly name: string
  readonly value?: string
  readonly valueFrom?: {
    readonly secretKeyRef: { readonly name: string; readonly key: string; readonly optional?: boolean }
  }
}

export interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string; readonly scheme: 'HTTP' | 'HTTPS' }
}

export interface Volume {
  readonly name: string
  readonly configMap?: { readonly name: string }
  readonly secret?: { readonly secretName: string }
  readonly emptyDir?: object
}
