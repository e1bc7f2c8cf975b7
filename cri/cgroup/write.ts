/** A cgroup file, absolute, and what goes into it. */
export interface CgroupWrite {
  file: string;
  value: string;
  /** A kernel without the file is fine. */
  optional?: true;
}
