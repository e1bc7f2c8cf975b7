/** A cgroup file, absolute, and what goes into it. */
export interface CgroupWrite {
  file: string;
  value: string;
  /** A kernel without the file is fine. */
  optional?: true;
}

/** A limit of no huge pages is kept also where the machine has none of the size, and so no file for it. */
export const noneIsKept = (limit: number): true | undefined => (limit === 0 ? true : undefined);
