/** What is known of a deployment, and the forms in which it is told. */

/** What the backends of a pool offer under a model's name; another text is another deployment. */
export interface Evidence {
  readonly pool: string
  /** The empty string: calls that name no model. */
  readonly model: string
  readonly evidence: string
  /** The versions that may answer; undefined: not every backend says its own. */
  readonly versions?: readonly string[]
}

export interface DeploymentToken {
  readonly value: string
  /** False: known to this process alone, so nothing under it may reach a shared tier. */
  readonly shared: boolean
}

/** What calls need to know of a model. */
export interface DeploymentState {
  readonly token: DeploymentToken
  /** The versions that may answer; undefined: not every backend says its own. */
  readonly versions: readonly string[] | undefined
}

/** A shared fact: for which evidence a token stands. */
export function parseFact(fact: string): { evidence: string; token: string } {
  const colon = fact.indexOf(':')
  return { evidence: fact.slice(0, Math.max(0, colon)), token: fact.slice(colon + 1) }
}

/** Whether an answer of this version is one of those deployed, as far as anybody knows. */
export function mayAnswer(versions: readonly string[] | undefined, version: string | undefined): boolean {
  return version === undefined || versions === undefined || versions.includes(version)
}

/** The oldest that only callers know of, and did not use again, goes first: nobody would tell us again about the others. */
export function forgetOne<T extends { readonly isReal: boolean; isUsed: boolean }>(
  models: Map<string, T>,
  made: T,
): string | undefined {
  for (const [model, known] of models) {
    if (known === made || known.isReal) continue
    models.delete(model)
    if (!known.isUsed) return model
    // Spared once, and looked at again when all others were.
    known.isUsed = false
    models.set(model, known)
  }
  for (const [model, known] of models) {
    if (known === made) continue
    models.delete(model)
    return model
  }
  return undefined
}
