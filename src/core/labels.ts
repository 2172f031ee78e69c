/** Marks of a backend, by which some calls are kept to some backends of a pool. */
export type Labels = Readonly<Record<string, string>>
