/**
 * Lists of request header fields that identify the caller or select the answer, for keys, the caller's identity, and
 * what a log must not show. Names are in lower case, with "-" for "_": CGI and WSGI servers cannot tell the two apart,
 * so `X_Api_Key` is as much a credential as `X-Api-Key` (see `folded`).
 */

/** Fields that identify the caller: credentials, and identities that a proxy in front of the gateway has verified. */
export const CREDENTIAL_FIELDS: readonly string[] = [
  'authorization',
  'proxy-authorization',
  'cookie',
  // API keys and tokens, as services, clouds and frameworks name them.
  'api-key',
  'api-token',
  'apikey',
  'app-key',
  'cf-access-client-id',
  'cf-access-client-secret',
  'client-secret',
  'helicone-auth',
  'ocp-apim-subscription-key',
  'openai-organization',
  'openai-project',
  'private-token',
  'token',
  'x-access-key',
  'x-access-token',
  'x-amz-security-token',
  'x-api-key',
  'x-api-token',
  'x-apikey',
  'x-app-key',
  'x-auth-key',
  'x-auth-token',
  'x-authorization',
  'x-client-secret',
  'x-functions-key',
  'x-goog-api-key',
  'x-goog-user-project',
  'x-hf-authorization',
  'x-id-token',
  'x-litellm-api-key',
  'x-portkey-api-key',
  'x-portkey-virtual-key',
  'x-rapidapi-key',
  'x-serverless-authorization',
  'x-session-token',
  'x-subscription-key',
  'x-token',
  'x-user-token',
  'x-vault-token',
  // Identities verified by a proxy: Kubeflow, oauth2-proxy, Kong, IAP, ALB, Access, Easy Auth, TLS.
  'cf-access-authenticated-user-email',
  'cf-access-jwt-assertion',
  'kubeflow-groups',
  'kubeflow-userid',
  'remote-email',
  'remote-groups',
  'remote-user',
  'ssl-client-cert',
  'x-amzn-oidc-accesstoken',
  'x-amzn-oidc-data',
  'x-amzn-oidc-identity',
  'x-anonymous-consumer',
  'x-auth-request-access-token',
  'x-auth-request-email',
  'x-auth-request-groups',
  'x-auth-request-preferred-username',
  'x-auth-request-user',
  'x-authenticated-groups',
  'x-authenticated-scope',
  'x-authenticated-user',
  'x-authenticated-userid',
  'x-client-cert',
  'x-client-dn',
  'x-consumer-custom-id',
  'x-consumer-groups',
  'x-consumer-id',
  'x-consumer-username',
  'x-credential-identifier',
  'x-forwarded-access-token',
  'x-forwarded-client-cert',
  'x-forwarded-email',
  'x-forwarded-groups',
  'x-forwarded-preferred-username',
  'x-forwarded-user',
  'x-goog-authenticated-user-email',
  'x-goog-authenticated-user-id',
  'x-goog-iap-jwt-assertion',
  'x-ms-client-principal',
  'x-ms-client-principal-id',
  'x-ms-client-principal-name',
  'x-ms-token-aad-access-token',
  'x-ms-token-aad-id-token',
  'x-remote-group',
  'x-remote-user',
  'x-ssl-client-cert',
]

/**
 * Fields that select the answer besides path and body: the model, the deployment, or a method or path that overrides
 * the request line's.
 */
export const CHOOSING_FIELDS: readonly string[] = [
  // Ray Serve, Seldon Core 2, ModelMesh, Knative.
  'serve-multiplexed-model-id',
  'seldon-internal-model',
  'seldon-model',
  'x-seldon-route',
  'mm-model-id',
  'mm-vmodel-id',
  'knative-serving-tag',
  // Managed endpoints: SageMaker, Azure ML, Vertex AI.
  'x-amzn-sagemaker-custom-attributes',
  'x-amzn-sagemaker-enable-explanations',
  'x-amzn-sagemaker-inference-component',
  'x-amzn-sagemaker-target-container-hostname',
  'x-amzn-sagemaker-target-model',
  'x-amzn-sagemaker-target-variant',
  'azureml-model-deployment',
  'azureml-model-group',
  'x-vertex-ai-endpoint-id',
  // Gateways of models: Envoy AI Gateway, the Gateway API's inference extension, Portkey, Anthropic's and OpenAI's own.
  'anthropic-beta',
  'anthropic-version',
  'openai-beta',
  'x-ai-eg-model',
  'x-gateway-destination-endpoint',
  'x-gateway-model-name',
  'x-gateway-model-name-rewrite',
  'x-gateway-destination-endpoint-subset',
  'x-portkey-config',
  'x-portkey-custom-host',
  'x-portkey-provider',
  // Names that people give to such fields.
  'model',
  'model-id',
  'model-name',
  'model-version',
  'x-deployment',
  'x-model',
  'x-model-id',
  'x-model-name',
  'x-model-version',
  // Frameworks that take method or path from here (Rails, Spring, Django; Symfony, Zend, IIS).
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
  'x-original-uri',
  'x-original-url',
  'x-rewrite-url',
  'x-forwarded-path',
  'x-forwarded-prefix',
  'x-forwarded-uri',
]

/** Hop-by-hop fields (RFC 9110, section 7.6.1): they are not forwarded. */
export const HOP_FIELDS: readonly string[] = [
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]

/** Fields that the gateway writes itself for the next hop: framing, authority, and what it answers on its own. */
export const REPLACED_FIELDS: readonly string[] = [
  'content-length',
  'expect',
  'forwarded',
  'host',
  'via',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
]

/** Fields that identify one call and its route through the network, for logs and traces. No answer depends on them. */
export const TRACING_FIELDS: readonly string[] = [
  'b3',
  'baggage',
  'sentry-trace',
  'traceparent',
  'tracestate',
  'uber-trace-id',
  'via',
  'x-amzn-trace-id',
  'x-b3-flags',
  'x-b3-parentspanid',
  'x-b3-sampled',
  'x-b3-spanid',
  'x-b3-traceid',
  'x-client-request-id',
  'x-cloud-trace-context',
  'x-correlation-id',
  'x-datadog-parent-id',
  'x-datadog-sampling-priority',
  'x-datadog-tags',
  'x-datadog-trace-id',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-ms-client-request-id',
  'x-real-ip',
  'x-request-id',
]

/** Fields that SDKs generated by Stainless (those of OpenAI and Anthropic) send about themselves and the attempt. */
export const SDK_FIELDS: readonly string[] = [
  'arch',
  'async',
  'custom-poll-interval',
  'helper',
  'helper-method',
  'lang',
  'os',
  'package-version',
  'poll-helper',
  'raw-response',
  'read-timeout',
  'retry-count',
  'runtime',
  'runtime-version',
  'stream-helper',
  'timeout',
].map((name) => `x-stainless-${name}`)

/** A field's name in the spelling of the lists above. `name` in lower case. */
export function folded(name: string): string {
  return name.includes('_') ? name.replaceAll('_', '-') : name
}

const MAX_LENGTH = 64

/**
 * A map from field names to values, without regard to case and to "_" for "-". Most fields of most heads are not in it,
 * which length and first letter show without a lookup.
 */
export class FieldTable<T> {
  readonly #known: ReadonlyMap<string, T>
  readonly #shapes = new Uint8Array(MAX_LENGTH * 32)

  /** Names as above. */
  constructor(known: Iterable<readonly [string, T]>) {
    this.#known = new Map(known)
    for (const name of this.#known.keys()) this.#shapes[shapeOf(name)] = 1
  }

  /** `name` as it was written. */
  get(name: string): T | undefined {
    if (name.length >= MAX_LENGTH || this.#shapes[shapeOf(name)] === 0) return undefined
    return this.#known.get(folded(name.toLowerCase()))
  }
}

/** The five low bits of an ASCII letter are the same in both cases. */
function shapeOf(name: string): number {
  return name.length * 32 + (name.charCodeAt(0) & 31)
}
