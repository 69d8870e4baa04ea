"""The course beside the pages: checks of what students write, students' versions of its notebooks, slides.

Begin at :mod:`patchlib.course.check`, or with ``notebooks/course/``.
"""
