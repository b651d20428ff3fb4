"""The workload of erasures: somebody writes about subjects, has them erased, and looks whether anything is left."""
