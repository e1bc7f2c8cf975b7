/** A cgroup file, absolute, and what goes into it. */
export interface CgroupWrite {
  file: string;
  value: string;
}
