"""One reconcile pass, and when to run one."""
